package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// Media types of the OCI image specification 1.0.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// A blob is content that is named by its digest.
type blob []byte

func (b blob) digest() string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (b blob) path() string { return blobPath(b.digest()) }

func blobPath(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func describe(mediaType string, b blob) descriptor {
	return descriptor{MediaType: mediaType, Digest: b.digest(), Size: len(b)}
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

// write writes the archive beside its place and moves it there, so that a
// reader never sees half of one.
func (s settings) write(layers []blob) error {
	config, err := json.Marshal(s.config(layers))
	if err != nil {
		return err
	}
	m := manifest{SchemaVersion: 2, MediaType: typeManifest, Config: describe(typeConfig, config)}
	for _, l := range layers {
		m.Layers = append(m.Layers, describe(typeLayer, l))
	}
	top, err := json.Marshal(m)
	if err != nil {
		return err
	}
	entry := describe(typeManifest, top)
	entry.Annotations = map[string]string{
		"io.containerd.image.name":          s.name,
		"org.opencontainers.image.ref.name": s.name[strings.LastIndex(s.name, ":")+1:],
	}
	idx, err := json.Marshal(index{SchemaVersion: 2, MediaType: typeIndex, Manifests: []descriptor{entry}})
	if err != nil {
		return err
	}
	tmp := fmt.Sprintf("%s.%d", s.out, os.Getpid())
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	defer os.Remove(tmp) // fails once it is moved, which is right
	err = writeTar(f, idx, append([]blob{top, config}, layers...))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, s.out)
}

func (s settings) config(layers []blob) map[string]any {
	env := []string(s.env)
	hasPath := false
	for _, e := range env {
		hasPath = hasPath || strings.HasPrefix(e, "PATH=")
	}
	if !hasPath {
		env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, env...)
	}
	var ids []string
	for _, l := range layers {
		ids = append(ids, l.digest()) // the layers are not compressed: the same digest
	}
	return map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "created": epoch.Format(time.RFC3339),
		"config": map[string]any{"User": s.user, "Env": env, "Entrypoint": s.entrypoint, "Cmd": s.cmd,
			"WorkingDir": s.workDir},
		"rootfs": map[string]any{"type": "layers", "diff_ids": ids},
	}
}

func writeTar(w io.Writer, idx blob, blobs []blob) error {
	tw := tar.NewWriter(w)
	put := func(name string, b []byte) error {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(b)), ModTime: epoch}
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		_, err := tw.Write(b)
		return err
	}
	if err := put("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	if err := put("index.json", idx); err != nil {
		return err
	}
	for _, b := range blobs {
		if err := put(b.path(), b); err != nil {
			return err
		}
	}
	return tw.Close()
}

// readLayers gives the layers, lowest first, of an archive that ociimage wrote.
func readLayers(file string) ([]blob, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	files := map[string]blob{}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if files[h.Name], err = io.ReadAll(tr); err != nil {
			return nil, err
		}
	}
	var idx index
	if err := json.Unmarshal(files["index.json"], &idx); err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	if len(idx.Manifests) != 1 {
		return nil, fmt.Errorf("index.json: %d images, want 1", len(idx.Manifests))
	}
	var m manifest
	name := blobPath(idx.Manifests[0].Digest)
	if err := json.Unmarshal(files[name], &m); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var layers []blob
	for _, d := range m.Layers {
		l, ok := files[blobPath(d.Digest)]
		if !ok || d.MediaType != typeLayer {
			return nil, fmt.Errorf("layer %s of type %s: missing, or not a plain tar", d.Digest, d.MediaType)
		}
		layers = append(layers, l)
	}
	return layers, nil
}

package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// epoch is the time of every file, so that equal files make equal images.
var epoch = time.Unix(0, 0).UTC()

// buildLayer makes one layer of empty directories and of files of this
// machine. What was added first under a name stays.
func buildLayer(dirs, adds []string) (blob, error) {
	var buf bytes.Buffer
	l := &layer{tw: tar.NewWriter(&buf), seen: map[string]bool{}}
	for _, d := range dirs {
		if err := l.empty(d); err != nil {
			return blob{}, fmt.Errorf("-mkdir %s: %w", d, err)
		}
	}
	adds = slices.Clone(adds)
	slices.Sort(adds)
	for _, a := range adds {
		src, dst, ok := strings.Cut(a, ":")
		if !ok {
			return blob{}, fmt.Errorf("-add %s: want SRC:DST", a)
		}
		if err := l.add(src, inside(dst)); err != nil {
			return blob{}, fmt.Errorf("-add %s: %w", a, err)
		}
	}
	if err := l.tw.Close(); err != nil {
		return blob{}, err
	}
	return blob(buf.Bytes()), nil
}

type layer struct {
	tw   *tar.Writer
	seen map[string]bool
}

// inside is a path as tar wants it: clean, without the slash in front.
func inside(p string) string { return strings.Trim(path.Clean("/"+p), "/") }

// once reports whether name is new, and notes it.
func (l *layer) once(name string) bool {
	if l.seen[name] {
		return false
	}
	l.seen[name] = true
	return true
}

func (l *layer) empty(spec string) error {
	p, m, _ := strings.Cut(spec, ":")
	mode := int64(0o755)
	if m != "" {
		var err error
		if mode, err = strconv.ParseInt(m, 8, 32); err != nil {
			return fmt.Errorf("mode %q: want octal digits", m)
		}
	}
	if err := l.parents(inside(p)); err != nil {
		return err
	}
	return l.dir(inside(p), mode)
}

// parents writes the directories above name once each.
func (l *layer) parents(name string) error {
	dir := path.Dir(name)
	if dir == "." || dir == "/" || l.seen[dir] {
		return nil
	}
	if err := l.parents(dir); err != nil {
		return err
	}
	return l.dir(dir, 0o755)
}

func (l *layer) dir(name string, mode int64) error {
	if !l.once(name) {
		return nil
	}
	return l.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, ModTime: epoch})
}

func (l *layer) add(src, dst string) error {
	// A symlink named on the command line stands for the file behind it.
	src, err := filepath.EvalSymlinks(src)
	if err != nil {
		return err
	}
	return filepath.WalkDir(src, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, p)
		if err != nil {
			return err
		}
		name := inside(path.Join(dst, filepath.ToSlash(rel)))
		if name == "" {
			return nil // the root is there
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return l.entry(p, name, info)
	})
}

func (l *layer) entry(src, name string, info fs.FileInfo) error {
	if err := l.parents(name); err != nil {
		return err
	}
	mode := int64(info.Mode().Perm())
	if info.Mode()&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	switch {
	case info.IsDir():
		return l.dir(name, mode)
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(src)
		if err != nil || !l.once(name) {
			return err
		}
		return l.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777, ModTime: epoch})
	case info.Mode().IsRegular():
		if !l.once(name) {
			return nil
		}
		return l.file(src, name, mode, info.Size())
	}
	return fmt.Errorf("%s: neither a file, a directory nor a symlink", src)
}

func (l *layer) file(src, name string, mode, size int64) error {
	f, err := os.Open(src)
	if err != nil {
		return err
	}
	defer f.Close()
	err = l.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: size, ModTime: epoch})
	if err != nil {
		return err
	}
	_, err = io.Copy(l.tw, f)
	return err
}

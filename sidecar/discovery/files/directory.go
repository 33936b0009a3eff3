package files

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// directory is what the manifests of a directory say, file by file. It belongs to one goroutine.
type directory struct {
	path  string
	log   *slog.Logger
	files map[string]*file
}

// file is one manifest file. What it last said correctly is in manifest; problems are those of its present contents.
type file struct {
	info     os.FileInfo
	read     time.Time // when the contents were last read
	sum      [sha256.Size]byte
	manifest manifest
	problems []string
}

// settled is the age a file must have for its size and times to vouch for its contents: more than the grain of the file
// systems' clocks.
const settled = 2 * time.Second

// scan brings files up to date with the directory. When trusting, files whose size, times and identity are as they were
// are not read again. It reports whether any file's manifest or problems changed; an error means that the directory
// could not be read, and nothing was changed.
func (d *directory) scan(trusting bool, now time.Time) (changed bool, err error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return false, err
	}
	present := map[string]bool{}
	for _, entry := range entries {
		if isManifest(entry.Name()) {
			there, fileChanged := d.scanFile(entry.Name(), trusting, now)
			changed = changed || fileChanged
			present[entry.Name()] = there
		}
	}
	for name := range d.files {
		if !present[name] {
			delete(d.files, name)
			changed = true
		}
	}
	return changed, nil
}

func isManifest(name string) bool {
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return !strings.HasPrefix(name, ".")
	}
	return false
}

// scanFile brings one file up to date. There is false when it does not exist, or is a directory.
func (d *directory) scanFile(name string, trusting bool, now time.Time) (there, changed bool) {
	path := filepath.Join(d.path, name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.IsDir() {
		return false, false
	}
	f := d.files[name]
	if f == nil {
		f = &file{}
		d.files[name] = f
	}
	if err == nil && trusting && f.info != nil && os.SameFile(f.info, info) && f.info.Size() == info.Size() &&
		f.info.ModTime().Equal(info.ModTime()) && f.read.Sub(info.ModTime()) > settled {
		return true, false
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, false
	}
	if err != nil {
		problem := fmt.Sprintf("%s: %v; what it last said stays in force", name, err)
		changed = len(f.problems) != 1 || f.problems[0] != problem
		f.info, f.problems = nil, []string{problem}
		return true, changed
	}
	sum := sha256.Sum256(data)
	known := f.info != nil && f.sum == sum
	f.info, f.read, f.sum = info, now, sum
	if known {
		return true, false
	}
	m, remarks, err := parse(name, data, d.log)
	if err != nil {
		f.problems = []string{err.Error() + "; what the file last said correctly stays in force"}
		return true, true
	}
	f.manifest, f.problems = m, remarks
	return true, true
}

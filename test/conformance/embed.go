package main

import (
	"bytes"
	"embed"
	"errors"
	"os"
	"path/filepath"
)

// clients are the programs that try other languages' clients; see lines.go for what they print.
//
//go:embed clients
var clients embed.FS

// clientFile puts a file of clients into dir and answers its path. Columns that do so at once, and read it, find it whole.
func clientFile(dir, name string) (string, error) {
	text, err := clients.ReadFile("clients/" + name)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		return path, nil // another column may be reading it
	}
	part, err := os.CreateTemp(dir, name+".*")
	if err != nil {
		return "", err
	}
	_, err = part.Write(text)
	if err = errors.Join(err, part.Chmod(0o644), part.Close()); err == nil {
		err = os.Rename(part.Name(), path)
	}
	if err != nil {
		os.Remove(part.Name())
	}
	return path, err
}

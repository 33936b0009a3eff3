// Package manifest takes manifests apart: files of one or more YAML or JSON documents.
package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// Document is one document of a file, as JSON.
type Document struct {
	Number int // from 1, empty ones not counted
	JSON   json.RawMessage
}

// Split takes a file apart into its documents. The name says whether it is JSON (.json) or YAML; the error names document and
// line.
func Split(name string, data []byte) ([]Document, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // byte order mark
	if filepath.Ext(name) == ".json" {
		return splitJSON(data)
	}
	return splitYAML(data)
}

// splitJSON takes JSON texts that follow one another apart.
func splitJSON(data []byte) ([]Document, error) {
	var documents []Document
	decoder := json.NewDecoder(bytes.NewReader(data))
	for {
		d := Document{Number: len(documents) + 1}
		err := decoder.Decode(&d.JSON)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			rest := bytes.TrimLeft(data[min(int(decoder.InputOffset()), len(data)):], " \t\r\n")
			line := 1 + bytes.Count(data[:len(data)-len(rest)], []byte("\n"))
			return nil, fmt.Errorf("document %d, which begins on line %d: %w", d.Number, line, err)
		}
		documents = append(documents, d)
	}
}

// splitYAML takes a YAML stream apart at its document markers (YAML 1.2, section 9.1.2), which are lines that begin with
// --- or ..., and cannot be inside of anything.
func splitYAML(data []byte) ([]Document, error) {
	var documents []Document
	var text []byte // the present document, with an empty line for each one before it, so that errors name the file's lines
	lines, filled := 0, false
	end := func() error {
		if !filled {
			text = text[:0]
			return nil
		}
		d := Document{Number: len(documents) + 1}
		out, err := yaml.YAMLToJSONStrict(text)
		if err != nil {
			return fmt.Errorf("document %d: %w", d.Number, err)
		}
		d.JSON = out
		text, filled = text[:0], false
		if string(out) != "null" {
			documents = append(documents, d)
		}
		return nil
	}
	for line := range bytes.Lines(data) {
		rest, start := marker(line, "---")
		_, stop := marker(line, "...")
		if start || stop {
			if err := end(); err != nil {
				return nil, err
			}
			if stop {
				rest = nil
			}
			line = append([]byte("   "), rest...)
		}
		if len(text) == 0 {
			text = bytes.Repeat([]byte("\n"), lines)
		}
		trimmed := bytes.TrimSpace(line)
		directive := !filled && bytes.HasPrefix(line, []byte("%"))
		switch {
		case directive, len(trimmed) == 0, trimmed[0] == '#':
			if directive {
				line = []byte("\n")
			}
		default:
			filled = true
		}
		text = append(text, line...)
		if !bytes.HasSuffix(line, []byte("\n")) {
			text = append(text, '\n')
		}
		lines++
	}
	if err := end(); err != nil {
		return nil, err
	}
	return documents, nil
}

// marker reports whether a line is a document marker, and answers what follows it on the line.
func marker(line []byte, mark string) (rest []byte, ok bool) {
	rest, ok = bytes.CutPrefix(line, []byte(mark))
	if !ok || len(bytes.TrimSpace(rest)) > 0 && rest[0] != ' ' && rest[0] != '\t' {
		return nil, false
	}
	return rest, true
}

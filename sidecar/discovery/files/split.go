package files

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// document is one document of a file, as JSON.
type document struct {
	number int // from 1, empty ones not counted
	json   json.RawMessage
}

// split takes a file apart into its documents.
func split(name string, data []byte) ([]document, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // byte order mark
	if filepath.Ext(name) == ".json" {
		return splitJSON(data)
	}
	return splitYAML(data)
}

// splitJSON takes JSON texts that follow one another apart.
func splitJSON(data []byte) ([]document, error) {
	var documents []document
	decoder := json.NewDecoder(bytes.NewReader(data))
	for {
		d := document{number: len(documents) + 1}
		err := decoder.Decode(&d.json)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			rest := bytes.TrimLeft(data[min(int(decoder.InputOffset()), len(data)):], " \t\r\n")
			line := 1 + bytes.Count(data[:len(data)-len(rest)], []byte("\n"))
			return nil, fmt.Errorf("document %d, which begins on line %d: %w", d.number, line, err)
		}
		documents = append(documents, d)
	}
}

// splitYAML takes a YAML stream apart at its document markers (YAML 1.2, section 9.1.2), which are lines that begin with
// --- or ..., and cannot be inside of anything.
func splitYAML(data []byte) ([]document, error) {
	var documents []document
	var text []byte // the present document, with an empty line for each one before it, so that errors name the file's lines
	lines, filled := 0, false
	end := func() error {
		if !filled {
			text = text[:0]
			return nil
		}
		d := document{number: len(documents) + 1}
		out, err := yaml.YAMLToJSONStrict(text)
		if err != nil {
			return fmt.Errorf("document %d: %w", d.number, err)
		}
		d.json = out
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

package shard

import (
	"encoding/json"
	"fmt"

	"github.com/millrace/millrace/storage/object"
)

// ManifestFormat is the version of the JSON that Encode writes. Its fields are in docs/format.
const ManifestFormat = 1

// Manifest is a checkpoint of one shard: all that Open needs. It is immutable.
type Manifest struct {
	Format      int    `json:"format"`
	Shard       uint64 `json:"shard"`
	Epoch       uint64 `json:"epoch"`       // the last whose changes it holds
	Incarnation uint64 `json:"incarnation"` // of the shard that wrote it

	Tables []Table `json:"tables"` // in order of File

	// Meta is Pebble's own metadata by file name: MANIFEST, OPTIONS, markers. In JSON: base64.
	Meta map[string][]byte `json:"meta"`
}

// Table is a sorted table of a manifest.
type Table struct {
	File   string `json:"file"`   // Pebble's name for it
	Object string `json:"object"` // where it is; its incarnation may be older than the manifest's
	Size   int64  `json:"size"`   // bytes
	CRC32C uint32 `json:"crc32c"` // of the whole file
}

// ObjectName returns where a manifest is kept: ckpt/<shard>/<epoch>-<incarnation>.json, the numbers
// padded so that names sort by epoch.
func (m *Manifest) ObjectName() string {
	return fmt.Sprintf("ckpt/%d/%020d-%d.json", m.Shard, m.Epoch, m.Incarnation)
}

// Objects returns the names of all objects that the manifest needs, without its own.
func (m *Manifest) Objects() []string {
	names := make([]string, len(m.Tables))
	for i, t := range m.Tables {
		names[i] = t.Object
	}
	return names
}

// Bytes returns the size of all tables.
func (m *Manifest) Bytes() (n int64) {
	for _, t := range m.Tables {
		n += t.Size
	}
	return n
}

// Encode returns the manifest as JSON.
func (m *Manifest) Encode() ([]byte, error) { return json.Marshal(m) }

// DecodeManifest reads what Encode wrote.
func DecodeManifest(b []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("decode shard manifest: %w", err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("decode shard manifest: %w", err)
	}
	return &m, nil
}

// check makes sure that a manifest from an object can do no harm: it names plain files.
func (m *Manifest) check() error {
	if m.Format != ManifestFormat {
		return fmt.Errorf("manifest of epoch %d has format %d, this release reads %d", m.Epoch, m.Format, ManifestFormat)
	}
	for _, t := range m.Tables {
		if !isTable(t.File) || object.CheckName(t.File) != nil || baseName(t.File) != t.File {
			return fmt.Errorf("manifest of epoch %d names table %q", m.Epoch, t.File)
		}
		if err := object.CheckName(t.Object); err != nil {
			return fmt.Errorf("manifest of epoch %d: %w", m.Epoch, err)
		}
		if t.Size <= 0 {
			return fmt.Errorf("manifest of epoch %d has table %q of %d bytes", m.Epoch, t.File, t.Size)
		}
	}
	for name := range m.Meta {
		if object.CheckName(name) != nil || baseName(name) != name || isTable(name) {
			return fmt.Errorf("manifest of epoch %d names metadata %q", m.Epoch, name)
		}
	}
	return nil
}

// Package checkpoint makes the state of all shards durable at once, finds it again and clears up.
//
// The idea: everything of a checkpoint is an object under a name of its own, so writing it changes
// nothing. First come the tables (storage/shard), then a manifest per shard, then one Global that
// names them. One etcd transaction then makes that Global the current one, if the previous one still
// is and the caller's conditions hold: that is the commit. A crash before it leaves garbage.
//
// Two servers on one bucket, each with its own etcd, cannot both go on: globals are numbered without
// a choice, and the object of the next number is created only if absent. Who finds it taken by
// another store of metadata stops (ErrFenced). When etcd is empty and globals exist, the machine was
// lost, and the newest global wins; it is whole, because it was written last.
//
// A Committer belongs to the leader, and one goroutine at a time calls it.
//
// Invariants: what the current global names exists. A number is never used for two globals. Garbage
// is only what no kept global names and what is older than the last commit's start.
//
// When to take a checkpoint, and what to do after ErrFenced, is decided in meta. Start at
// Committer.Load and Committer.Commit.
package checkpoint

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/millrace/millrace/storage/shard"
)

// Format is the version of the JSON that a Global is written as.
const Format = 1

// Global is a committed state of everything. It is immutable once written.
type Global struct {
	Format int `json:"format"`

	// Number is the place among all globals. The Committer sets it.
	Number uint64 `json:"number"`
	// Store identifies the metadata store of the writer, Term the writer's term of leadership in it.
	// The Committer sets them.
	Store string `json:"store"`
	Term  uint64 `json:"term"`

	Epoch uint64 `json:"epoch"` // the last that is complete in the state; above that of the one before

	Shards []ShardRef `json:"shards"` // by shard. The Committer sets them

	// LogPosition is the last position of the DML log that the state holds.
	LogPosition uint64 `json:"log_position"`
	// Jobs holds completed epochs and source offsets, Catalog all definitions. What is in them is
	// the caller's.
	Jobs    json.RawMessage `json:"jobs,omitempty"`
	Catalog json.RawMessage `json:"catalog,omitempty"`
}

// ShardRef names the manifest of a shard.
type ShardRef struct {
	Shard       uint64 `json:"shard"`
	Manifest    string `json:"manifest"` // object
	Epoch       uint64 `json:"epoch"`    // of the manifest; an idle shard keeps an older one
	Incarnation uint64 `json:"incarnation"`
	CRC32C      uint32 `json:"crc32c"` // of the object
}

const globalPrefix = "global/"

// globalName returns the object of a global. It holds nothing but the number, so that of two writers
// of one number only one can create it.
func globalName(number uint64) string { return fmt.Sprintf("%s%020d.json", globalPrefix, number) }

// globalNumber reads a number from an object's name.
func globalNumber(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(strings.TrimPrefix(name, globalPrefix), ".json")
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, ok && err == nil && globalName(number) == name
}

// ObjectName returns where the global is.
func (g *Global) ObjectName() string { return globalName(g.Number) }

// Shard returns the reference to a shard, or false when the global has none.
func (g *Global) Shard(id uint64) (ShardRef, bool) {
	for _, s := range g.Shards {
		if s.Shard == id {
			return s, true
		}
	}
	return ShardRef{}, false
}

// Encode returns the global as JSON.
func (g *Global) Encode() ([]byte, error) { return json.Marshal(g) }

// DecodeGlobal reads what Encode wrote.
func DecodeGlobal(b []byte) (*Global, error) {
	var g Global
	if err := json.Unmarshal(b, &g); err != nil {
		return nil, fmt.Errorf("decode global manifest: %w", err)
	}
	if g.Format != Format {
		return nil, fmt.Errorf("decode global manifest: format %d, this release reads %d", g.Format, Format)
	}
	return &g, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// reference returns the ShardRef of a manifest, and its JSON.
func reference(m *shard.Manifest) (ShardRef, []byte, error) {
	data, err := m.Encode()
	if err != nil {
		return ShardRef{}, nil, fmt.Errorf("encode manifest of shard %d: %w", m.Shard, err)
	}
	return ShardRef{Shard: m.Shard, Manifest: m.ObjectName(), Epoch: m.Epoch, Incarnation: m.Incarnation, CRC32C: sum(data)}, data, nil
}

package shard

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fileHolder opens a local file at its first use and keeps it.
type fileHolder struct {
	mu   sync.Mutex
	file vfs.File
}

func (h *fileHolder) get(path string) (vfs.File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		f, err := vfs.Default.Open(path, vfs.RandomReadsOption)
		if err != nil {
			return nil, err
		}
		h.file = f
	}
	return h.file, nil
}

func (h *fileHolder) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.file == nil {
		return nil
	}
	err := h.file.Close()
	h.file = nil
	return err
}

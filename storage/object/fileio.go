package object

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
)

var tempCounter atomic.Uint64

// tempName returns a name in the temporary folder that this process has not used.
func (s *File) tempName() string {
	return filepath.Join(s.root, tempDir, fmt.Sprintf("link-%d-%d", os.Getpid(), tempCounter.Add(1)))
}

// writeTempIn creates a file in dir, fills and syncs it, and returns its path.
func writeTempIn(dir string, fill func(io.Writer) error) (path string, err error) {
	f, err := os.CreateTemp(dir, ".object-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	err = fill(f)
	if err == nil {
		err = f.Sync()
	}
	if errClose := f.Close(); err == nil {
		err = errClose
	}
	return f.Name(), err
}

// writeWhole makes a synced file appear at path with all of its contents. tempDir must be on the
// same file system.
func writeWhole(path, tempDir string, fill func(io.Writer) error) error {
	temp, err := writeTempIn(tempDir, fill)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		os.Remove(temp)
		return err
	}
	return nil
}

func copyAll(w io.Writer, r io.Reader) error {
	_, err := io.Copy(w, r)
	return err
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errClose := f.Close(); err == nil {
		err = errClose
	}
	return err
}

package wal

import (
	"errors"
	"os"
	"syscall"
)

// fdatasync leaves times alone, which saves a write of the file system's journal.
func fdatasync(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

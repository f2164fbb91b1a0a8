package etcd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lockName is the file in a data folder that its owner holds a lock on; it contains the owner's pid.
const lockName = "LOCK"

// LockedError says that another process owns a data folder.
type LockedError struct {
	Dir string
	PID int // 0: unknown
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("data folder %s is locked by another millrace", e.Dir)
	}
	return fmt.Sprintf("data folder %s is locked by another millrace (pid %d)", e.Dir, e.PID)
}

// DirLock is the ownership of a data folder. The kernel ends it with the process, however that dies.
type DirLock struct{ file *os.File }

// Lock takes ownership of a data folder, which is made when it is missing, or returns a *LockedError
// at once. Take it before anything in the folder is opened.
func Lock(dir string) (*DirLock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		err = writePID(f)
	} else if errors.Is(err, syscall.EWOULDBLOCK) {
		err = &LockedError{Dir: dir, PID: readPID(f)}
	} else {
		err = fmt.Errorf("lock data folder %s: %w", dir, err)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &DirLock{file: f}, nil
}

func writePID(f *os.File) error {
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if _, err := f.WriteAt([]byte(pid), 0); err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	if err := f.Truncate(int64(len(pid))); err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	return nil
}

func readPID(f *os.File) int {
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return pid
}

// Unlock gives the folder free. The file stays: to remove it could take it from under the next owner.
func (l *DirLock) Unlock() error { return l.file.Close() }

package object

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

// tempDir, below the root, holds objects that are being written. Names with a dot are no objects.
const tempDir = ".tmp"

// File is a Store in a folder: an object is a file, the slashes of its name are folders.
//
// A write goes to a temporary file, which is synced, then renamed (or, for PutIfAbsent, linked) to
// its name; then the folders on the way are synced, so the name is durable too.
type File struct{ root string }

// NewFile opens the folder at root and creates it when it is missing. What a crash left half-written
// is removed, so only one process may open a folder.
func NewFile(root string) (*File, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	temp := filepath.Join(root, tempDir)
	if err := os.RemoveAll(temp); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(temp, 0o755); err != nil {
		return nil, err
	}
	return &File{root: root}, syncDir(root)
}

// path returns where the object lives.
func (s *File) path(name string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	return filepath.Join(s.root, filepath.FromSlash(name)), nil
}

// Put implements Store.
func (s *File) Put(ctx context.Context, name string, data []byte) error {
	return s.write(ctx, name, data, os.Rename)
}

// PutIfAbsent implements Store: link, unlike rename, does not replace.
func (s *File) PutIfAbsent(ctx context.Context, name string, data []byte) error {
	return s.write(ctx, name, data, func(temp, path string) error {
		defer os.Remove(temp)
		err := os.Link(temp, path)
		if errors.Is(err, fs.ErrExist) {
			return ErrExists
		}
		return err
	})
}

// write puts data into a synced temporary file and lets place give it its name.
func (s *File) write(ctx context.Context, name string, data []byte, place func(temp, path string) error) error {
	path, err := s.path(name)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return wrap("put", name, err)
	}
	temp, err := s.writeTemp(func(f io.Writer) error {
		_, err := f.Write(data)
		return err
	})
	if err != nil {
		return wrap("put", name, err)
	}
	if err := s.placeTemp(temp, path, place); err != nil {
		os.Remove(temp)
		return wrap("put", name, err)
	}
	return nil
}

func (s *File) writeTemp(fill func(io.Writer) error) (string, error) {
	return writeTempIn(filepath.Join(s.root, tempDir), fill)
}

// placeTemp makes the folders of path, names the temporary file and makes the name durable.
func (s *File) placeTemp(temp, path string, place func(temp, path string) error) error {
	if err := s.mkdirs(filepath.Dir(path)); err != nil {
		return err
	}
	if err := place(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// mkdirs makes a folder below the root and syncs the parent of each folder it made.
func (s *File) mkdirs(dir string) error {
	if _, err := os.Stat(dir); err == nil || dir == s.root {
		return err
	}
	parent := filepath.Dir(dir)
	if err := s.mkdirs(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// PutFile implements FilePutter: the object is a hard link to the file when both are on one file
// system, else a copy. The file is synced first; its time becomes that of the object.
func (s *File) PutFile(ctx context.Context, name, local string) error {
	path, err := s.path(name)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = s.putFile(path, local)
	}
	return wrap("put", name, err)
}

func (s *File) putFile(path, local string) error {
	in, err := os.Open(local)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := in.Sync(); err != nil {
		return err
	}
	// The link is made under a temporary name and renamed, because an object of the same name may exist.
	temp := s.tempName()
	if os.Link(local, temp) == nil {
		now := time.Now()
		err = os.Chtimes(temp, now, now)
	} else {
		temp, err = s.writeTemp(func(f io.Writer) error { return copyAll(f, in) })
	}
	if err == nil {
		err = s.placeTemp(temp, path, renameLink)
	}
	if err != nil {
		os.Remove(temp)
	}
	return err
}

// renameLink renames and removes the old name also when both are links to one file, in which case
// rename(2) succeeds and does nothing.
func renameLink(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if err := os.Remove(from); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// LinkFile implements FileLinker.
func (s *File) LinkFile(ctx context.Context, name, local string) error {
	path, err := s.path(name)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = s.linkFile(path, local)
	}
	return wrap("get", name, notFound(err))
}

func (s *File) linkFile(path, local string) error {
	temp := s.tempName()
	if err := os.Link(path, temp); err != nil {
		return err
	}
	err := renameLink(temp, local)
	if err != nil {
		os.Remove(temp)
	}
	return err
}

// GetFile implements FileGetter: a hard link when possible, else a copy.
func (s *File) GetFile(ctx context.Context, name, local string) error {
	if s.LinkFile(ctx, name, local) == nil {
		return nil
	}
	path, err := s.path(name)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = copyFile(path, local)
	}
	return wrap("get", name, notFound(err))
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return writeWhole(to, filepath.Dir(to), func(f io.Writer) error { return copyAll(f, in) })
}

// Get implements Store.
func (s *File) Get(ctx context.Context, name string) ([]byte, error) {
	path, err := s.path(name)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, wrap("get", name, err)
	}
	data, err := os.ReadFile(path)
	return data, wrap("get", name, notFound(err))
}

// GetRange implements Store.
func (s *File) GetRange(ctx context.Context, name string, offset, n int64) ([]byte, error) {
	path, err := s.path(name)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, wrap("get", name, err)
	}
	data, err := readRange(path, offset, n)
	return data, wrap("get", name, notFound(err))
}

func readRange(path string, offset, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from, to, err := clip(offset, n, st.Size())
	if err != nil {
		return nil, err
	}
	data := make([]byte, to-from)
	_, err = io.ReadFull(io.NewSectionReader(f, from, to-from), data)
	return data, err
}

// Stat implements Store.
func (s *File) Stat(ctx context.Context, name string) (Info, error) {
	path, err := s.path(name)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return Info{}, wrap("stat", name, err)
	}
	st, err := os.Stat(path)
	if err == nil && st.IsDir() {
		err = ErrNotFound
	}
	if err != nil {
		return Info{}, wrap("stat", name, notFound(err))
	}
	return Info{Name: name, Size: st.Size(), ModTime: st.ModTime()}, nil
}

// List implements Store. It reads the folders first: objects that appear meanwhile may be missing.
func (s *File) List(ctx context.Context, prefix string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		infos, err := s.list(ctx, prefix)
		if err != nil {
			yield(Info{}, wrap("list", prefix, err))
			return
		}
		for _, info := range infos {
			if !yield(info, nil) {
				return
			}
		}
	}
}

func (s *File) list(ctx context.Context, prefix string) ([]Info, error) {
	top := s.root
	if i := strings.LastIndexByte(prefix, '/'); i > 0 {
		dir, err := s.path(prefix[:i])
		if err != nil {
			return nil, err
		}
		top = dir
	}
	var infos []Info
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the folder is not there, or went while we looked
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(s.root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel == tempDir {
				return fs.SkipDir
			}
			return ctx.Err()
		}
		name := filepath.ToSlash(rel)
		if !strings.HasPrefix(name, prefix) {
			return nil
		}
		st, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			infos = append(infos, Info{Name: name, Size: st.Size(), ModTime: st.ModTime()})
		}
		return err
	})
	sort.Slice(infos, func(i, j int) bool { return infos[i].Name < infos[j].Name })
	return infos, err
}

// Delete implements Store. Folders stay: another object may be on its way into one.
func (s *File) Delete(ctx context.Context, name string) error {
	path, err := s.path(name)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return wrap("delete", name, err)
}

// notFound puts ErrNotFound in place of the file system's word for it.
func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) {
		return ErrNotFound
	}
	return err
}

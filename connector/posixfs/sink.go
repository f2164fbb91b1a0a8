package posixfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/filesink"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Sink implements connector.Sink.
type Sink struct{}

func parseSink(spec *connector.SinkSpec) (Folder, *filesink.Options, error) {
	o := option.New(option.Connector(spec.Connector.Name), spec.Connector.Options)
	path := o.Required("fs.path", "posix_fs.root")
	c := filesink.Parse(o, spec)
	return Folder(path), c, o.Done()
}

// Validate implements connector.Sink. The folder is made if it is not there.
func (Sink) Validate(_ context.Context, spec *connector.SinkSpec) error {
	f, _, err := parseSink(spec)
	if err != nil {
		return err
	}
	if _, err := codec.NewEncoder(spec); err != nil {
		return err
	}
	return f.make()
}

// Open implements connector.Sink.
func (Sink) Open(ctx context.Context, spec *connector.SinkSpec) (connector.Writer, error) {
	f, c, err := parseSink(spec)
	if err != nil {
		return nil, err
	}
	if err := f.make(); err != nil {
		return nil, err
	}
	return filesink.Open(ctx, spec, c, f)
}

// Folder implements filesink.Target. A staged file has a hidden name at the top and is renamed.
type Folder string

func (f Folder) make() error {
	if err := os.MkdirAll(string(f), 0o777); err != nil {
		return sqlerr.New(sqlerr.InvalidParameterValue, "option \"fs.path\" names the folder %q, which cannot be made", string(f)).
			WithDetail("%v", err).WithCause(err)
	}
	if err := checkFolder("fs.path", string(f)); err != nil {
		return err
	}
	probe, err := os.CreateTemp(string(f), ".probe-*")
	if err != nil {
		return sqlerr.New(sqlerr.InvalidParameterValue, "option \"fs.path\" names the folder %q, in which no file can be made", string(f)).
			WithDetail("%v", err).WithCause(err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func (f Folder) path(name string) string { return filepath.Join(string(f), filepath.FromSlash(name)) }

// Create implements filesink.Target.
func (f Folder) Create(_ context.Context, name string) (filesink.Staged, error) {
	file, err := os.CreateTemp(string(f), "."+filepath.Base(name)+".*.tmp")
	if err != nil {
		return nil, err
	}
	return &staged{file: file, name: name}, nil
}

// staged implements filesink.Staged.
type staged struct {
	file *os.File
	name string
}

// Write implements filesink.Staged.
func (s *staged) Write(_ context.Context, data []byte) error {
	_, err := s.file.Write(data)
	return err
}

// Finish implements filesink.Staged.
func (s *staged) Finish(context.Context) (filesink.Pending, error) {
	err := s.file.Chmod(0o644)
	if err == nil {
		err = s.file.Sync()
	}
	if err == nil {
		err = s.file.Close()
	}
	return filesink.Pending{Name: s.name, Stage: filepath.Base(s.file.Name())}, err
}

// Abort implements filesink.Staged.
func (s *staged) Abort() {
	_ = s.file.Close() // it may be closed already
	_ = os.Remove(s.file.Name())
}

// Publish implements filesink.Target: a file that is not staged any more has been renamed.
func (f Folder) Publish(_ context.Context, p filesink.Pending) error {
	to := f.path(p.Name)
	if err := f.makeParents(filepath.Dir(to)); err != nil {
		return err
	}
	if err := os.Rename(f.path(p.Stage), to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncFolder(filepath.Dir(to))
}

// makeParents makes the folders from the top down to dir, durably.
func (f Folder) makeParents(dir string) error {
	if _, err := os.Stat(dir); err == nil || dir == filepath.Clean(string(f)) {
		return nil
	}
	if err := f.makeParents(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(filepath.Dir(dir))
}

// Clean implements filesink.Target.
func (f Folder) Clean(_ context.Context, prefix string) error {
	entries, err := os.ReadDir(string(f))
	if err != nil {
		return fmt.Errorf("list unfinished files in %q: %w", string(f), err)
	}
	for _, e := range entries {
		ours := strings.HasPrefix(e.Name(), "."+prefix+"-") || strings.HasPrefix(e.Name(), "..millrace-"+prefix+".")
		if ours && strings.HasSuffix(e.Name(), ".tmp") {
			if err := os.Remove(f.path(e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove unfinished file: %w", err)
			}
		}
	}
	return nil
}

// A record's versions are files of their own, name.1, name.2 and so on; the highest number counts, and the others go. A version is made by a
// link, which fails when there is one of that number. Who links a number whose file has gone already sees a higher one afterwards.

// Read implements filesink.Target. A file without a number is from before there were any.
func (f Folder) Read(_ context.Context, name string) (data []byte, version string, err error) {
	for {
		at, err := f.versions(name)
		if err != nil {
			return nil, "", err
		}
		file, version := name, ""
		if len(at) > 0 {
			version = strconv.FormatUint(at[len(at)-1], 10)
			file += "." + version
		}
		b, err := os.ReadFile(f.path(file))
		if errors.Is(err, fs.ErrNotExist) {
			if version == "" {
				return nil, "", nil
			}
			continue // replaced meanwhile
		}
		return b, version, err
	}
}

// versions lists the numbers of a record's versions, ascending.
func (f Folder) versions(name string) ([]uint64, error) {
	entries, err := os.ReadDir(string(f))
	if err != nil {
		return nil, fmt.Errorf("look for the record in %q: %w", string(f), err)
	}
	var out []uint64
	for _, e := range entries {
		if n, ok := strings.CutPrefix(e.Name(), name+"."); ok {
			if v, err := strconv.ParseUint(n, 10, 64); err == nil {
				out = append(out, v)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// Swap implements filesink.Target.
func (f Folder) Swap(ctx context.Context, name string, data []byte, version string) (string, error) {
	last := uint64(0)
	if version != "" {
		var err error
		if last, err = strconv.ParseUint(version, 10, 64); err != nil {
			return "", err
		}
	}
	s, err := f.Create(ctx, name)
	if err != nil {
		return "", err
	}
	defer s.Abort() // the link stays
	if err = s.Write(ctx, data); err != nil {
		return "", err
	}
	p, err := s.Finish(ctx)
	if err != nil {
		return "", err
	}
	next := strconv.FormatUint(last+1, 10)
	if err := os.Link(f.path(p.Stage), f.path(name+"."+next)); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = filesink.ErrOvertaken
		}
		return "", err
	}
	at, err := f.versions(name)
	if err != nil {
		return "", err
	}
	if len(at) == 0 || at[len(at)-1] > last+1 {
		_ = os.Remove(f.path(name + "." + next)) // it never counted
		return "", filesink.ErrOvertaken
	}
	if err := syncFolder(string(f)); err != nil {
		return "", err
	}
	for _, v := range at[:len(at)-1] {
		_ = os.Remove(f.path(name + "." + strconv.FormatUint(v, 10))) // what stays goes another time
	}
	if version == "" {
		_ = os.Remove(f.path(name))
	}
	return next, nil
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

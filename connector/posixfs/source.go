// Package posixfs reads files below a folder as a source, and writes files into a folder as a sink.
//
// The idea is that of connector/filesource and connector/filesink, for which this package is a store: files may grow while
// they are read; a staged file has a hidden name, and is renamed to be published.
//
// A Reader and a Writer belong to one goroutine each, except Close.
//
// It does not decode (connector/codec) or speak to object stores (connector/s3). Start at Source and Sink.
package posixfs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/filesource"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Source implements connector.Source.
type Source struct{}

func parseSource(spec *connector.SourceSpec) (root, *filesource.Options, error) {
	o := option.New(option.Connector("posix_fs"), spec.Connector.Options)
	at := o.Required("posix_fs.root")
	c := filesource.Parse(o, spec, "posix_fs")
	return root(at), c, o.Done()
}

// Validate implements connector.Source.
func (Source) Validate(_ context.Context, spec *connector.SourceSpec) (connector.Facts, error) {
	at, _, err := parseSource(spec)
	if err != nil {
		return connector.Facts{}, err
	}
	facts, err := filesource.Check(spec)
	if err != nil {
		return connector.Facts{}, err
	}
	return facts, checkFolder("posix_fs.root", string(at))
}

// Splits implements connector.Source: the files that match now.
func (Source) Splits(ctx context.Context, spec *connector.SourceSpec) ([]string, error) {
	at, c, err := parseSource(spec)
	if err != nil {
		return nil, err
	}
	return c.Splits(ctx, at)
}

// Open implements connector.Source.
func (Source) Open(_ context.Context, spec *connector.SourceSpec, splits []connector.SplitOffset) (connector.Reader, error) {
	at, c, err := parseSource(spec)
	if err != nil {
		return nil, err
	}
	return filesource.Open(spec, c, at, splits)
}

// root implements filesource.Store: the files below a folder.
type root string

// List implements filesource.Store.
func (r root) List(_ context.Context, f func(name string)) error {
	top := string(r)
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && p != top: // gone while we looked
			return nil
		case err != nil:
			return err
		case p != top && strings.HasPrefix(d.Name(), ".") && d.IsDir():
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		rel, err := filepath.Rel(top, p)
		if err == nil && isFile(p, d) {
			f(filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		return sqlerr.New(sqlerr.IOError, "could not list the files below %q", top).WithDetail("%v", err).WithCause(err)
	}
	return nil
}

func (r root) path(name string) string { return filepath.Join(string(r), filepath.FromSlash(name)) }

// Stat implements filesource.Store.
func (r root) Stat(_ context.Context, name string) (filesource.Info, error) {
	st, err := os.Stat(r.path(name))
	if err != nil {
		return filesource.Info{}, err
	}
	return filesource.Info{Size: st.Size(), ModTime: st.ModTime()}, nil
}

// Open implements filesource.Store.
func (r root) Open(_ context.Context, name string) (filesource.File, error) {
	return os.Open(r.path(name))
}

// Stream implements filesource.Store.
func (r root) Stream(_ context.Context, name string, from int64) (io.ReadCloser, error) {
	f, err := os.Open(r.path(name))
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Grows implements filesource.Store.
func (root) Grows() bool { return true }

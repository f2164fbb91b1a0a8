// Package filesource reads files of records, wherever a Store keeps them: connector/posixfs below a folder, connector/s3
// in a bucket.
//
// The idea: a split is a file, named by its path; an offset is a position in bytes, of a compressed file in its contents,
// for Parquet a row. New files may appear. Where they may grow as well, a last line without its end is left alone until it
// is complete; where they cannot, a file that has been read to its end gets the offset done, and is never asked for again.
// What was read is not looked at again, so files must not be changed in place.
//
// A Reader belongs to one goroutine, except Close.
//
// Invariants: the rows after an offset do not depend on how the file was read before; hidden files (with a dot in front)
// are never read.
//
// It does not decode (connector/codec). Start at Store and Open.
package filesource

import (
	"context"
	"io"
	"path"
	"sort"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/parquet"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/option"
)

// Store keeps files. Its methods say fs.ErrNotExist of a file that is gone.
type Store interface {
	// List calls f for the path of each file, hidden ones included, in any order.
	List(ctx context.Context, f func(name string)) error
	Stat(ctx context.Context, name string) (Info, error)
	// Open opens a file for reading here and there; Stream from a position to its end.
	Open(ctx context.Context, name string) (File, error)
	Stream(ctx context.Context, name string, from int64) (io.ReadCloser, error)
	// Grows reports whether files may become longer.
	Grows() bool
}

// Info is what a Store knows of a file without reading it.
type Info struct {
	Size    int64
	ModTime time.Time
}

// File is an open file.
type File interface {
	parquet.ReaderAtSeeker
	io.Closer
}

// Options are what sources of files have in common.
type Options struct {
	Pattern   string
	Poll      time.Duration // how often files are looked at for new data
	LineAfter time.Duration // how long a growing file rests before its last line counts without a line end
	compress  string        // auto: by name
}

// Parse reads the common options of spec from o; prefix is that of the connector's own.
func Parse(o *option.Set, spec *connector.SourceSpec, prefix string) *Options {
	c := &Options{Pattern: o.String("match_pattern", "")}
	c.Poll = o.Duration(prefix+".poll.interval", 200*time.Millisecond, time.Millisecond, time.Hour, time.Millisecond)
	c.LineAfter = o.Duration(prefix+".last.line.after", 10*time.Second, 0, 24*time.Hour, time.Second)
	c.compress = o.Enum("compression_format", "auto", "auto", "none", "gzip", "zstd")
	o.Ignore("refresh.interval.sec")
	if _, err := path.Match(c.Pattern, "x"); err != nil {
		o.Fail("option \"match_pattern\" is not a pattern: %q", c.Pattern)
	}
	if f := spec.Connector.Format; f != "" && f != "PLAIN" {
		o.Fail("%s reads FORMAT PLAIN only, not %s", option.Connector(spec.Connector.Name), f)
	}
	return c
}

// Check validates the format and what it promises of the rows.
func Check(spec *connector.SourceSpec) (connector.Facts, error) {
	var err error
	if spec.Connector.Encode == "PARQUET" {
		err = codec.CheckParquet(spec)
	} else {
		_, err = codec.Check(spec)
	}
	return connector.Facts{AppendOnly: true, UniqueKeys: uniqueKeys(spec)}, err
}

// uniqueKeys finds file and offset among the included columns: a Parquet row has its own offset. A line of
// JSON may hold an array, so there is no such promise for text.
func uniqueKeys(spec *connector.SourceSpec) [][]int {
	file, off := -1, -1
	for i, c := range spec.Columns {
		switch c.Include {
		case "file":
			file = i
		case "offset":
			off = i
		}
	}
	if file < 0 || off < 0 || spec.Connector.Encode != "PARQUET" {
		return nil
	}
	return [][]int{{file, off}}
}

// Splits lists the files that match now, in order.
func (c *Options) Splits(ctx context.Context, s Store) ([]string, error) {
	var out []string
	err := s.List(ctx, func(name string) {
		if !strings.HasPrefix(name, ".") && !strings.Contains(name, "/.") && c.matches(name) {
			out = append(out, name)
		}
	})
	sort.Strings(out)
	return out, err
}

// matches compares a path with the pattern: by its last element when the pattern has no slash.
func (c *Options) matches(name string) bool {
	if c.Pattern == "" {
		return true
	}
	if !strings.Contains(c.Pattern, "/") {
		ok, _ := path.Match(c.Pattern, path.Base(name))
		return ok
	}
	return matchParts(strings.Split(c.Pattern, "/"), strings.Split(name, "/"))
}

// matchParts matches element by element; ** stands for any number of folders.
func matchParts(pattern, parts []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			for i := range len(parts) + 1 {
				if matchParts(pattern[1:], parts[i:]) {
					return true
				}
			}
			return false
		}
		if len(parts) == 0 {
			return false
		}
		if ok, _ := path.Match(pattern[0], parts[0]); !ok {
			return false
		}
		pattern, parts = pattern[1:], parts[1:]
	}
	return len(parts) == 0
}

// compression is how a file is compressed, "" for not.
func (c *Options) compression(name string) string {
	switch c.compress {
	case "none":
		return ""
	case "auto":
		switch path.Ext(name) {
		case ".gz", ".gzip":
			return "gzip"
		case ".zst", ".zstd":
			return "zstd"
		}
		return ""
	}
	return c.compress
}

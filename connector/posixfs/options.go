package posixfs

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// sourceConfig is the options of a source.
type sourceConfig struct {
	root      string
	pattern   string
	poll      time.Duration // how often files are looked at for new data
	lineAfter time.Duration // how long a file rests before its last line counts without a line end
}

func parseSource(spec *connector.SourceSpec) (*sourceConfig, error) {
	o := option.New(option.Connector("posix_fs"), spec.Connector.Options)
	c := &sourceConfig{root: o.Required("posix_fs.root"), pattern: o.String("match_pattern", "")}
	c.poll = o.Duration("posix_fs.poll.interval", 200*time.Millisecond, time.Millisecond, time.Hour, time.Millisecond)
	c.lineAfter = o.Duration("posix_fs.last.line.after", 10*time.Second, 0, 24*time.Hour, time.Second)
	o.Ignore("refresh.interval.sec")
	if _, err := path.Match(c.pattern, "x"); err != nil {
		o.Fail("option \"match_pattern\" is not a pattern: %q", c.pattern)
	}
	if z := o.String("compression_format", "none"); z != "none" && z != "None" {
		o.Fail("compressed files are not supported by connector \"posix_fs\"")
	}
	if f := spec.Connector.Format; f != "" && f != "PLAIN" {
		o.Fail("connector \"posix_fs\" reads FORMAT PLAIN only, not %s", f)
	}
	return c, o.Done()
}

// list returns the files below the root that match, as slash-separated paths below it, in order.
func (c *sourceConfig) list() ([]string, error) {
	var out []string
	err := filepath.WalkDir(c.root, func(p string, d fs.DirEntry, err error) error {
		switch {
		case os.IsNotExist(err) && p != c.root: // gone while we looked
			return nil
		case err != nil:
			return err
		case p != c.root && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		rel, err := filepath.Rel(c.root, p)
		if err != nil {
			return err
		}
		if rel = filepath.ToSlash(rel); c.matches(rel) && isFile(p, d) {
			out = append(out, rel)
		}
		return nil
	})
	if err != nil {
		return nil, sqlerr.New(sqlerr.IOError, "could not list the files below %q", c.root).WithDetail("%v", err).WithCause(err)
	}
	sort.Strings(out)
	return out, nil
}

// isFile reports whether a directory entry is an ordinary file, or a link to one.
func isFile(p string, d fs.DirEntry) bool {
	if d.Type().IsRegular() {
		return true
	}
	if d.Type()&fs.ModeSymlink == 0 {
		return false
	}
	st, err := os.Stat(p)
	return err == nil && st.Mode().IsRegular()
}

// matches compares a path with the pattern: by its last element when the pattern has no slash.
func (c *sourceConfig) matches(rel string) bool {
	if c.pattern == "" {
		return true
	}
	if !strings.Contains(c.pattern, "/") {
		ok, _ := path.Match(c.pattern, path.Base(rel))
		return ok
	}
	return matchParts(strings.Split(c.pattern, "/"), strings.Split(rel, "/"))
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

// checkFolder returns the user's error about a folder that is not there.
func checkFolder(option, name string) error {
	st, err := os.Stat(name)
	if err != nil {
		return sqlerr.New(sqlerr.InvalidParameterValue, "option %q names the folder %q, which cannot be read", option, name).
			WithDetail("%v", err).WithCause(err)
	}
	if !st.IsDir() {
		return sqlerr.New(sqlerr.InvalidParameterValue, "option %q names %q, which is not a folder", option, name)
	}
	return nil
}

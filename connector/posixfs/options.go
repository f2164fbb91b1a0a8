package posixfs

import (
	"io/fs"
	"os"

	"github.com/millrace/millrace/internal/sqlerr"
)

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

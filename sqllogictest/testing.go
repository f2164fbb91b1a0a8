package sqllogictest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Test runs every .slt file at or below root as a subtest, one after the other, in the order of their
// names. Files called *.inc.slt are for inclusion and are not run by themselves.
func (r *Runner) Test(t *testing.T, root string) {
	t.Helper()
	files, err := Files(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("%s holds no .slt file", root)
	}
	for _, file := range files {
		name, err := filepath.Rel(root, file)
		if err != nil || name == "." {
			name = filepath.Base(file)
		}
		t.Run(filepath.ToSlash(name), func(t *testing.T) {
			if err := r.File(t.Context(), file); err != nil {
				t.Error(err)
			}
		})
	}
}

// Files lists the .slt files to be run at or below root.
func Files(root string) ([]string, error) {
	var out []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() && strings.HasSuffix(path, ".slt") && !strings.HasSuffix(path, ".inc.slt") {
			out = append(out, path)
		}
		return nil
	})
	slices.Sort(out)
	return out, err
}

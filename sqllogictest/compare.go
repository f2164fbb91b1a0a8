package sqllogictest

import (
	"crypto/md5"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// result is what a query returned, values printed.
type result struct {
	columns int
	rows    [][]string
}

// layout says how a result is laid out as lines.
type layout struct {
	sort      string // nosort, rowsort or valuesort
	valuewise bool   // one value a line
	threshold int    // more values than this are hashed; 0: never
}

// blanks reduces runs of white space to one blank.
func blanks(s string) string { return strings.Join(strings.Fields(s), " ") }

var escaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`)

// lines lays a result out. tabs separates values by tabs and leaves them as they are, else blanks do.
func (r *result) lines(l layout, tabs bool) []string {
	var out []string
	for _, row := range r.rows {
		values := make([]string, len(row))
		for i, v := range row {
			if values[i] = blanks(v); tabs {
				values[i] = escaper.Replace(v)
			}
		}
		switch {
		case l.valuewise || l.sort == "valuesort":
			out = append(out, values...)
		case tabs:
			out = append(out, strings.Join(values, "\t"))
		default:
			out = append(out, strings.TrimSpace(strings.Join(values, " ")))
		}
	}
	if l.sort == "rowsort" && l.valuewise {
		out = sortGroups(out, r.columns)
	} else if l.sort == "rowsort" || l.sort == "valuesort" {
		slices.Sort(out)
	}
	return out
}

// sortGroups sorts rows that are n lines each.
func sortGroups(lines []string, n int) []string {
	if n == 0 {
		return lines
	}
	groups := slices.SortedFunc(slices.Values(slices.Collect(slices.Chunk(lines, n))), slices.Compare[[]string])
	return slices.Concat(groups...)
}

var hashed = regexp.MustCompile(`^(\d+) values hashing to ([0-9a-f]{32})$`)

// hash is the summary of a large result.
func (r *result) hash(l layout) string {
	l.valuewise = true
	values := r.lines(l, false)
	h := md5.New()
	for _, v := range values {
		fmt.Fprintln(h, v)
	}
	return fmt.Sprintf("%d values hashing to %x", len(values), h.Sum(nil))
}

// compare checks a result against expected lines. got is the result as lines to show beside them.
func (r *result) compare(expected []string, l layout) (ok bool, got []string) {
	if len(expected) == 1 && hashed.MatchString(expected[0]) {
		h := r.hash(l)
		return h == expected[0], []string{h}
	}
	tabs := slices.ContainsFunc(expected, func(s string) bool { return strings.Contains(s, "\t") })
	got = r.lines(l, tabs)
	if slices.Equal(got, wanted(expected, l, tabs, r.columns)) {
		return true, got
	}
	// SQLite's files give one value a line without saying so.
	if !l.valuewise && r.columns > 1 && len(expected) == len(r.rows)*r.columns {
		l.valuewise = true
		if slices.Equal(r.lines(l, tabs), wanted(expected, l, tabs, r.columns)) {
			return true, got
		}
	}
	return false, got
}

// wanted brings expected lines into the form of lines.
func wanted(expected []string, l layout, tabs bool, columns int) []string {
	out := make([]string, len(expected))
	for i, s := range expected {
		if out[i] = blanks(s); tabs {
			out[i] = s
		}
	}
	switch {
	case l.sort == "rowsort" && l.valuewise:
		return sortGroups(out, columns)
	case l.sort == "rowsort" || l.sort == "valuesort":
		slices.Sort(out)
	}
	return out
}

// diff shows how got differs from want, a line each, "-" for what is missing and "+" for what is too much.
func diff(want, got []string) string {
	const limit = 1000 // lines compared; the table below is quadratic
	cut := len(want) > limit || len(got) > limit
	want, got = want[:min(len(want), limit)], got[:min(len(got), limit)]
	// common[i][j] is the length of the longest common subsequence of want[i:] and got[j:].
	common := make([][]int, len(want)+1)
	for i := range common {
		common[i] = make([]int, len(got)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for j := len(got) - 1; j >= 0; j-- {
			if want[i] == got[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var b strings.Builder
	for i, j := 0, 0; i < len(want) || j < len(got); {
		switch {
		case i < len(want) && j < len(got) && want[i] == got[j]:
			fmt.Fprintf(&b, "    %s\n", want[i])
			i, j = i+1, j+1
		case i < len(want) && (j == len(got) || common[i+1][j] >= common[i][j+1]):
			fmt.Fprintf(&b, "  - %s\n", want[i])
			i++
		default:
			fmt.Fprintf(&b, "  + %s\n", got[j])
			j++
		}
	}
	if cut {
		b.WriteString("    …\n")
	}
	return b.String()
}

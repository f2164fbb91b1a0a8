package sqlclient

import (
	"bufio"
	"fmt"
	"strings"
	"unicode"
)

// table is something to be printed in rows and columns.
type table struct {
	title   string
	columns []string
	right   []bool     // aligned to the right; nil: none
	rows    [][][]byte // nil is NULL and printed as nothing
	footer  []string
	count   bool // the number of rows is the footer
}

// width is the number of columns that s takes on a screen.
func width(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case r < 0x300:
			n++
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case wide(r):
			n += 2
		default:
			n++
		}
	}
	return n
}

// wide tells the characters of East Asian width W or F, and emoji, by their blocks.
func wide(r rune) bool {
	return r >= 0x1100 && r <= 0x115f || r >= 0x2e80 && r <= 0x303e || r >= 0x3041 && r <= 0xa4cf ||
		r >= 0xac00 && r <= 0xd7a3 || r >= 0xf900 && r <= 0xfaff || r >= 0xfe30 && r <= 0xfe6f ||
		r >= 0xff00 && r <= 0xff60 || r >= 0xffe0 && r <= 0xffe6 || r >= 0x1f300 && r <= 0x1faff ||
		r >= 0x20000 && r <= 0x3fffd
}

// cell makes a value printable: its lines, tabs spread and control characters shown.
func cell(v []byte) []string {
	s := string(v)
	if strings.IndexFunc(s, unicode.IsControl) < 0 {
		return []string{s}
	}
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\\r\n"), "\n")
	for k, line := range lines {
		var b strings.Builder
		at := 0
		for _, r := range line {
			piece := string(r)
			switch {
			case r == '\t':
				piece = strings.Repeat(" ", 8-at%8)
			case r == '\r':
				piece = `\r`
			case r < 0x80 && unicode.IsControl(r):
				piece = fmt.Sprintf(`\x%02X`, r)
			case unicode.IsControl(r):
				piece = fmt.Sprintf(`\u%04X`, r)
			}
			b.WriteString(piece)
			at += width(piece)
		}
		lines[k] = b.String()
	}
	return lines
}

func pad(n int) string { return strings.Repeat(" ", max(n, 0)) }

// print writes t aligned, or expanded: one line a value.
func (t *table) print(w *bufio.Writer, expanded bool) {
	if expanded {
		t.printExpanded(w)
		return
	}
	cells := make([][][]string, len(t.rows))
	widths := make([]int, len(t.columns))
	for k, name := range t.columns {
		widths[k] = width(name)
	}
	for i, row := range t.rows {
		cells[i] = make([][]string, len(row))
		for k, v := range row {
			cells[i][k] = cell(v)
			for _, line := range cells[i][k] {
				widths[k] = max(widths[k], width(line))
			}
		}
	}
	t.printHead(w, widths)
	for _, row := range cells {
		t.printRow(w, row, widths)
	}
	t.printFoot(w)
}

// printHead writes title, column names and the rule below them.
func (t *table) printHead(w *bufio.Writer, widths []int) {
	total := max(len(widths)-1, 0)
	for _, n := range widths {
		total += n + 2
	}
	if t.title != "" {
		fmt.Fprintf(w, "%s%s\n", pad((total-width(t.title))/2), t.title)
	}
	if len(widths) == 0 {
		w.WriteString("--\n")
		return
	}
	rule := make([]string, len(widths))
	for k, name := range t.columns {
		if k > 0 {
			w.WriteByte('|')
		}
		free := widths[k] - width(name)
		fmt.Fprintf(w, " %s%s%s ", pad(free/2), name, pad(free-free/2))
		rule[k] = strings.Repeat("-", widths[k]+2)
	}
	fmt.Fprintf(w, "\n%s\n", strings.Join(rule, "+"))
}

// printRow writes a row, on as many lines as its tallest value has.
func (t *table) printRow(w *bufio.Writer, row [][]string, widths []int) {
	tall := 1
	for _, c := range row {
		tall = max(tall, len(c))
	}
	for l := range tall {
		for k, c := range row {
			if k > 0 {
				w.WriteByte('|')
			}
			text, more := "", l < len(c)-1
			if l < len(c) {
				text = c[l]
			}
			free := widths[k] - width(text)
			w.WriteByte(' ')
			last := k == len(row)-1
			switch {
			case last && l >= len(c):
			case t.right != nil && t.right[k]:
				w.WriteString(pad(free) + text)
			case last && !more:
				w.WriteString(text)
			default:
				w.WriteString(text + pad(free))
			}
			if more {
				w.WriteByte('+')
			} else if !last {
				w.WriteByte(' ')
			}
		}
		if len(row) > 0 {
			w.WriteByte('\n')
		}
	}
}

func (t *table) printFoot(w *bufio.Writer) {
	switch {
	case t.count && len(t.rows) == 1:
		w.WriteString("(1 row)\n")
	case t.count:
		fmt.Fprintf(w, "(%d rows)\n", len(t.rows))
	}
	for _, line := range t.footer {
		w.WriteString(line + "\n")
	}
	w.WriteByte('\n')
}

// printExpanded writes each row as a record of lines "column | value".
func (t *table) printExpanded(w *bufio.Writer) {
	names, values := 0, 0
	for _, name := range t.columns {
		names = max(names, width(name))
	}
	for _, row := range t.rows {
		for _, v := range row {
			for _, line := range cell(v) {
				values = max(values, width(line))
			}
		}
	}
	if t.title != "" {
		w.WriteString(t.title + "\n")
	}
	if len(t.rows) == 0 && t.count {
		w.WriteString("(0 rows)\n")
	}
	for i, row := range t.rows {
		label := fmt.Sprintf("-[ RECORD %d ]", i+1)
		rule := strings.Repeat("-", names+1) + "+" + strings.Repeat("-", values+1)
		w.WriteString(label + rule[min(len(label), len(rule)):] + "\n")
		for k, v := range row {
			name := t.columns[k]
			lines := cell(v)
			for l, text := range lines {
				fmt.Fprintf(w, "%s%s | %s", name, pad(names-width(name)), text)
				if l < len(lines)-1 {
					w.WriteString(pad(values-width(text)) + "+")
				}
				w.WriteByte('\n')
				name = ""
			}
		}
	}
	for _, line := range t.footer {
		w.WriteString(line + "\n")
	}
	w.WriteByte('\n')
}

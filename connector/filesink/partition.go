package filesink

import (
	"fmt"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlio"
)

// nullName stands for NULL in the name of a folder, as Hive writes it.
const nullName = "__HIVE_DEFAULT_PARTITION__"

// split groups the rows of c by the folder that their values name. The rows are valid until the next call.
func (w *Writer) split(c *delta.Chunk) map[string][]int32 {
	if len(w.byDir) > 10*maxOpen {
		clear(w.byDir)
	}
	for dir, rows := range w.byDir {
		w.byDir[dir] = rows[:0]
	}
	for k := range c.Len() {
		i := c.Row(k)
		w.folders = w.folders[:0]
		for n, col := range w.options.partition {
			if n > 0 {
				w.folders = append(w.folders, '/')
			}
			w.folders = append(appendName(w.folders, []byte(w.spec.Columns[col].Name)), '=')
			v := c.Cols[col]
			if v.IsNull(i) {
				w.folders = append(w.folders, nullName...)
				continue
			}
			w.folders = appendName(w.folders, sqlio.AppendText(nil, v, i, sqlio.DefaultSettings()))
		}
		w.byDir[string(w.folders)] = append(w.byDir[string(w.folders)], int32(i))
	}
	return w.byDir
}

// appendName appends a text as part of a path: what has a meaning there, or is not printable ASCII, as % and two
// digits; nothing as %00.
func appendName(dst, text []byte) []byte {
	if len(text) == 0 {
		return append(dst, "%00"...)
	}
	for n, c := range text {
		switch {
		case c <= ' ' || c >= 0x7f || c == '%' || c == '/' || c == '\\' || c == '=' || c == ':' || c == '*' || c == '?' || c == '"' || c == '<' || c == '>' || c == '|' || c == '#' ||
			c == '.' && n == 0:
			dst = fmt.Appendf(dst, "%%%02X", c)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// period is the folder of the time at which rows are written, "" for none.
func (w *Writer) period() string {
	layout := map[string]string{"month": "2006-01", "day": "2006-01-02", "hour": "2006-01-02/15"}[w.options.period]
	if layout == "" {
		return ""
	}
	return w.since.UTC().Format(layout)
}

package redis

import (
	"strings"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
)

// template is a text with columns in braces, as in "user:{id}"; {{ and }} are braces.
type template []piece

// piece is a text, or a column's value.
type piece struct {
	text string
	col  int // −1: text
}

func parseTemplate(spec *connector.SinkSpec, option, text string) (template, error) {
	var out template
	bad := func() (template, error) {
		return nil, sqlerr.New(sqlerr.InvalidParameterValue, "%s has a brace without its other half: %q", option, text).WithHint("Braces that are meant are doubled: {{ and }}.")
	}
	var plain strings.Builder
	for i := 0; i < len(text); i++ {
		ch := text[i]
		switch {
		case (ch == '{' || ch == '}') && i+1 < len(text) && text[i+1] == ch:
			plain.WriteByte(ch)
			i++
		case ch == '}':
			return bad()
		case ch == '{':
			n := strings.IndexByte(text[i:], '}')
			if n < 0 {
				return bad()
			}
			name := strings.TrimSpace(text[i+1 : i+n])
			col := -1
			for k := range spec.Columns {
				if spec.Columns[k].Name == name {
					col = k
				}
			}
			if col < 0 {
				return nil, sqlerr.New(sqlerr.UndefinedColumn, "column %q named in %s does not exist", name, option)
			}
			out = append(out, piece{plain.String(), -1}, piece{"", col})
			plain.Reset()
			i += n
		default:
			plain.WriteByte(ch)
		}
	}
	return append(out, piece{plain.String(), -1}), nil
}

// append writes the text for a row. NULL is written as NULL.
func (t template) append(dst []byte, c *delta.Chunk, row int, s *sqlio.Settings) []byte {
	for _, p := range t {
		switch {
		case p.col < 0:
			dst = append(dst, p.text...)
		case c.Cols[p.col].IsNull(row):
			dst = append(dst, "NULL"...)
		default:
			dst = sqlio.AppendText(dst, c.Cols[p.col], row, s)
		}
	}
	return dst
}

// templates is the encoder of ENCODE TEMPLATE.
type templates struct {
	config *config
	spec   *connector.SinkSpec
}

// Each implements encoder. Of one key, deletes come before inserts.
func (t *templates) Each(c *delta.Chunk, emit func(key, value []byte) error) error {
	s := t.spec.Settings
	if s == nil {
		s = sqlio.DefaultSettings()
	}
	for _, sign := range []int64{-1, 1} {
		for k := range c.Len() {
			i := c.Row(k)
			w := c.Weight(i)
			if w*sign <= 0 {
				continue
			}
			if sign < 0 && t.config.mode == codec.AppendOnly {
				if t.config.force {
					continue
				}
				return sqlerr.New(sqlerr.InvalidParameterValue, "append-only sink got a deleted row").
					WithHint("Use FORMAT UPSERT, or force_append_only = 'true' to leave deletes out.")
			}
			key := t.config.keys.append(nil, c, i, s)
			var value []byte
			if sign > 0 {
				value = t.config.values.append([]byte{}, c, i, s)
			}
			if err := emit(key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

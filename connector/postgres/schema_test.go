package postgres

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/internal/catalog"
)

// all runs what is left out for time.
var all = flag.Bool("all", false, "run every change of columns in every way")

// changeText prints a schema change.
func changeText(c *connector.SchemaChange) string {
	if c == nil {
		return ""
	}
	var out []string
	for _, a := range c.Add {
		out = append(out, "+"+a.Name+" "+a.Type.String())
	}
	for _, d := range c.Drop {
		out = append(out, "-"+d)
	}
	for a, b := range c.Rename {
		out = append(out, a+">"+b)
	}
	for _, a := range c.Retype {
		out = append(out, a.Name+":"+a.Type.String())
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// carryOut does to a table here what a change says.
func carryOut(t *cdc.Table, c *connector.SchemaChange, known []byte) *cdc.Table {
	table := t.Table
	table.Columns = slices.Clone(t.Columns)
	for _, d := range c.Drop {
		table.Columns = slices.DeleteFunc(table.Columns, func(x catalog.Column) bool { return x.Name == d })
	}
	for i := range table.Columns {
		if n, ok := c.Rename[table.Columns[i].Name]; ok {
			table.Columns[i].Name = n
		}
		for _, r := range c.Retype {
			if r.Name == table.Columns[i].Name {
				table.Columns[i].Type = r.Type
			}
		}
	}
	table.Columns = append(table.Columns, c.Add...)
	return &cdc.Table{Table: table, Known: known, Rows: cdc.NewRows(table)}
}

// TestSchemaChanges changes a table in all ways, once with rows right after, once with rows before and after in one transaction, and once with
// nobody touching the table.
func TestSchemaChanges(t *testing.T) {
	w := newWorld(t)
	cases := []struct {
		ddl    string
		change string
		recopy bool
		rows   []string // of INSERT INTO x (id) VALUES (100), afterwards
	}{
		{"ADD COLUMN n int", "+n integer", false, []string{"+ 100 NULL NULL NULL"}},
		{"ADD COLUMN n int DEFAULT 5", "+n integer", true, []string{"+ 100 NULL NULL 5"}},
		{"ADD COLUMN r float DEFAULT random()", "+r double precision", true, nil},
		{"DROP COLUMN a", "-a", false, []string{"+ 100 NULL"}},
		{"RENAME COLUMN a TO z", "a>z", false, []string{"+ 100 NULL NULL"}},
		{"ALTER a TYPE bigint", "a:bigint", true, []string{"+ 100 NULL NULL"}},
		{"ALTER b TYPE varchar(50)", "b:character varying(50)", true, []string{"+ 100 NULL NULL"}},
		{"ALTER a TYPE int USING a + 1", "", true, []string{"+ 100 NULL NULL"}},
		{"DROP COLUMN a, ADD COLUMN a int", "+a integer -a", true, []string{"+ 100 NULL NULL"}},
		{"DROP COLUMN a, ADD COLUMN a text", "+a text -a", true, []string{"+ 100 NULL NULL"}},
		{"ALTER a SET DEFAULT 3", "", false, []string{"+ 100 3 NULL"}},
		{"ADD COLUMN g int GENERATED ALWAYS AS (id + 1) STORED", "", false, []string{"+ 100 NULL NULL"}},
		{"RENAME TO x_new", "", false, nil},
	}
	for i, c := range cases {
		for k, how := range []string{"after", "both", "idle"} {
			if k > 0 && k-1 == i%2 && !*all {
				continue // each of them with every other change
			}
			name := fmt.Sprintf("x%d_%s", i, how)
			w.exec("CREATE TABLE " + name + " (id int PRIMARY KEY, a int, b text);\nINSERT INTO " + name + " VALUES (1, 1, 'one')")
			spec := w.spec()
			tab := w.table(spec, name)
			u := w.upstream(spec)
			u.watchEvery = 10 * time.Millisecond
			r := w.read(u, nil, tab)
			ddl := strings.ReplaceAll("ALTER TABLE "+name+" "+c.ddl, "x_new", name+"_new")
			now := strings.TrimPrefix(name, "")
			if strings.Contains(ddl, "RENAME TO") {
				now += "_new"
			}
			insert := "INSERT INTO " + now + " (id) VALUES (100)"
			switch how {
			case "after":
				w.exec(ddl + ";\n" + insert)
			case "both":
				w.exec("BEGIN;\nINSERT INTO " + name + " VALUES (2, 2, 'two');\n" + ddl + ";\n" + insert + ";\nCOMMIT")
			case "idle":
				w.exec(ddl)
			}
			change, recopy := "", false
			var rows []string
			step := func() {
				e, got := r.next()
				rows = append(rows, got...)
				recopy = recopy || e.Recopy != nil
				if e.Change == nil {
					return
				}
				if change != "" {
					t.Errorf("%s, %s: a second change %s", c.ddl, how, changeText(e.Change))
				}
				change = changeText(e.Change)
				tab = carryOut(tab, e.Change, e.Known)
				_ = r.s.Close()
				r = w.read(u, e.Resume, tab)
			}
			// The watcher has nothing more to say when it has looked twice since the last thing that was expected of it.
			for calm, end := 0, time.Now().Add(10*time.Second); calm < 2 && time.Now().Before(end); {
				if change == c.change && (recopy || !c.recopy) {
					calm++
					time.Sleep(3 * u.watchEvery)
				}
				to, err := u.Position(soon(t))
				if err != nil {
					t.Fatal(err)
				}
				for step(); r.last.At.Before(to); {
					step()
				}
				w.exec("CREATE TABLE IF NOT EXISTS noise ();\nDROP TABLE noise")
			}
			if change != c.change || recopy != c.recopy && !(recopy && how == "both") {
				t.Errorf("%s, %s: change %q, read anew %v; want %q, %v", c.ddl, how, change, recopy, c.change, c.recopy)
			}
			if how == "after" && c.rows != nil && !slices.Equal(rows, c.rows) {
				t.Errorf("%s: rows %q, want %q", c.ddl, rows, c.rows)
			}
			_ = r.s.Close()
			_ = u.Close()
			if err := (Source{}).Drop(soon(t), spec); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestAlign connects messages of the log with shapes.
func TestAlign(t *testing.T) {
	const i4, txt = 23, 25
	s := &shape{Cols: []column{{Num: 1, Name: "id", Type: i4}, {Num: 3, Name: "c", Type: txt, Was: []string{"b"}}, {Num: 4, Name: "x", Type: i4}},
		Gone: []column{{Num: 2, Name: "x", Type: i4}}}
	cases := []struct {
		msg  []sent
		want []int16
		sure bool
	}{
		{[]sent{{name: "id", typ: i4}, {name: "c", typ: txt}, {name: "x", typ: i4}}, []int16{1, 3, 4}, true},
		{[]sent{{name: "id", typ: i4}, {name: "x", typ: i4}, {name: "b", typ: txt}}, []int16{1, 2, 3}, true},
		{[]sent{{name: "id", typ: i4}, {name: "x", typ: i4}, {name: "never", typ: txt}}, []int16{1, 2, 3}, false},
		{[]sent{{name: "id", typ: i4}, {name: "other", typ: 16}, {name: "c", typ: txt}}, []int16{1, -1, 3}, true},
		{nil, nil, true},
	}
	for _, c := range cases {
		if got, sure := s.align(c.msg); !slices.Equal(got, c.want) || sure != c.sure {
			t.Errorf("%v: %v %v, want %v %v", c.msg, got, sure, c.want, c.sure)
		}
	}
}

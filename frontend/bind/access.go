package bind

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Access is what a statement does to a relation, or to a function: call it. Whether that is allowed is asked when it runs.
type Access struct {
	Rel catalog.ID
	// As is whose rights count: the owner of a view that the statement names, "" for the session's user.
	As string
	// Rights are letters, as the catalog has them.
	Rights string
	// Columns are, for rights that are held on columns as well, the places of those that the statement reads or writes; none: any one
	// will do. A right that is not here is needed on the whole relation.
	Columns map[byte][]int
}

// access notes that the statement needs a right on a whole relation; right 0: none yet.
func (b *binder) access(id catalog.ID, right byte) *Access {
	a := b.accessTo(id)
	a.need(right)
	return a
}

// accessColumns notes that the statement needs a right on columns of a relation, those for which column is called.
func (b *binder) accessColumns(id catalog.ID, right byte) *Access {
	a := b.accessTo(id)
	a.some(right)
	return a
}

func (b *binder) accessTo(id catalog.ID) *Access {
	for _, a := range b.env.Access {
		if a.Rel == id && a.As == b.env.as {
			return a
		}
	}
	a := &Access{Rel: id, As: b.env.as, Columns: map[byte][]int{}}
	b.env.Access = append(b.env.Access, a)
	return a
}

// need notes a right on the whole relation.
func (a *Access) need(right byte) {
	if right == 0 {
		return
	}
	if strings.IndexByte(a.Rights, right) < 0 {
		a.Rights += string(right)
	}
	delete(a.Columns, right)
}

// some notes a right on columns.
func (a *Access) some(right byte) {
	if strings.IndexByte(a.Rights, right) < 0 {
		a.Rights += string(right)
		a.Columns[right] = []int{}
	}
}

// column notes a right on column k.
func (a *Access) column(right byte, k int) {
	a.some(right)
	if ks, ok := a.Columns[right]; ok && !slices.Contains(ks, k) {
		a.Columns[right] = append(ks, k)
	}
}

// read notes that a column of the item is read, by its index in the frame.
func (it *item) read(idx int) {
	if it == nil || it.access == nil {
		return
	}
	for k, c := range it.cols {
		if c.idx == idx {
			it.access.column('r', k)
		}
	}
}

// readAll notes that all columns of the item are read.
func (it *item) readAll() {
	for _, c := range it.cols {
		it.read(c.idx)
	}
}

// mayUse refuses a schema that the statement names and the user may not look into.
func (env *Env) mayUse(schema string, pos int) {
	if env.MayUse != nil && !env.MayUse(schema) {
		fail(sqlerr.New(sqlerr.InsufficientPrivilege, "permission denied for schema %s", schema).At(pos))
	}
}

// lockAccess notes what a locking clause needs: UPDATE on the relations that the query names.
func (b *binder) lockAccess(refs []parser.TableRef) {
	for _, ref := range refs {
		switch x := ref.(type) {
		case *parser.RelRef:
			if r, _ := b.lookup(x.Name); r != nil {
				b.access(r.ID, 'w')
			}
		case *parser.JoinRef:
			b.lockAccess([]parser.TableRef{x.Left, x.Right})
		}
	}
}

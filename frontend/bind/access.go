package bind

import (
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
}

// access notes that the statement needs a right on a relation.
func (b *binder) access(id catalog.ID, right byte) *Access {
	for _, a := range b.env.Access {
		if a.Rel == id && a.As == b.env.as {
			a.need(right)
			return a
		}
	}
	a := &Access{Rel: id, As: b.env.as}
	a.need(right)
	b.env.Access = append(b.env.Access, a)
	return a
}

func (a *Access) need(right byte) {
	if right != 0 && strings.IndexByte(a.Rights, right) < 0 {
		a.Rights += string(right)
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

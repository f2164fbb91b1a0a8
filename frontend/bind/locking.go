package bind

import (
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/sqlerr"
)

// locking checks FOR UPDATE and its kin. Nothing waits for a lock here: the session has the transaction's commit check that
// nobody has changed meanwhile what the query read, which SKIP LOCKED and NOWAIT make no difference to.
func (b *binder) locking(q *parser.Query) {
	for _, l := range q.Locking {
		what := "FOR " + l.Strength
		if b.env.Streaming {
			fail(unsupported(l.Pos, "", "%s is not allowed in a view", what))
		}
		not := func(clause string) {
			fail(sqlerr.New(sqlerr.FeatureNotSupported, "%s is not allowed with %s", what, clause))
		}
		s, ok := q.Body.(*parser.Select)
		if _, values := q.Body.(*parser.Values); values {
			fail(sqlerr.New(sqlerr.FeatureNotSupported, "%s cannot be applied to VALUES", what))
		}
		switch {
		case !ok:
			not("UNION/INTERSECT/EXCEPT")
		case s.Distinct:
			not("DISTINCT clause")
		case s.GroupBy != nil:
			not("GROUP BY clause")
		case s.Having != nil:
			not("HAVING clause")
		}
		for _, n := range l.Of {
			if !inFrom(s.From, n.Last()) {
				fail(sqlerr.New(sqlerr.UndefinedTable, "relation %q in %s clause not found in FROM clause", n.Last(), what).At(n.Pos))
			}
		}
		b.env.Locks = what
		b.lockAccess(s.From)
	}
}

// inFrom reports whether a FROM clause has an item of that name.
func inFrom(refs []parser.TableRef, name string) bool {
	for _, ref := range refs {
		var a *parser.Alias
		own := ""
		switch x := ref.(type) {
		case *parser.RelRef:
			a, own = x.Alias, x.Name.Last()
		case *parser.SubqueryRef:
			a = x.Alias
		case *parser.JoinRef:
			if inFrom([]parser.TableRef{x.Left, x.Right}, name) {
				return true
			}
			continue
		}
		if a != nil && a.Name != "" {
			own = a.Name
		}
		if own == name {
			return true
		}
	}
	return false
}

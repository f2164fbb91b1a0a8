package server

import (
	"context"
	"errors"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// follow lets a captured table take over a change of its upstream's columns, as a session would.
func (n *Node) follow(ctx context.Context, table *catalog.Relation, change *connector.SchemaChange) error {
	m := n.sessions.Load()
	if m == nil {
		return errors.New("the server is still starting")
	}
	return m.Follow(ctx, table, change.Add, change.Drop, change.Rename, change.Retype)
}

// demands is what a table demands of the rows that a sink brings.
func (n *Node) demands(ctx context.Context, table *catalog.Relation) ([]plan.Check, *expr.Ctx, error) {
	m := n.sessions.Load()
	if m == nil {
		return nil, nil, errors.New("the server is still starting")
	}
	return m.Demands(ctx, table)
}

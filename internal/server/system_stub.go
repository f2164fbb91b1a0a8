package server

import (
	"context"

	"github.com/millrace/millrace/frontend/session"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

type noSystem struct{}

func (noSystem) Columns(schema, name string) ([]plan.Column, bool) { return nil, false }
func (noSystem) Rows(context.Context, *session.Session, string, string) ([][]sqltypes.Datum, error) {
	return nil, nil
}
func (noSystem) Function(_ *session.Session, name string, _ []sqltypes.Datum) (sqltypes.Datum, error) {
	return nil, sqlerr.New(sqlerr.UndefinedFunction, "function %s does not exist", name)
}

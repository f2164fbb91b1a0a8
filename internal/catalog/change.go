package catalog

import (
	"errors"
	"maps"
)

// Change is a set of records to write and to remove, applied whole or not at all.
type Change struct {
	Put        []*Relation
	Drop       []ID
	PutSchema  []*Schema
	DropSchema []string
	PutUser    []*User
	DropUser   []string
	PutFunc    []*Function
	DropFunc   []ID
	PutType    []*Type
	DropType   []ID
}

// ErrConflict says that somebody else has changed the catalog since the change was decided.
var ErrConflict = errors.New("the catalog has changed")

// On returns a copy of the snapshot with the change made; it still needs its Revision and Index.
func (c *Change) On(s *Snapshot) *Snapshot {
	next := &Snapshot{Database: s.Database, Schemas: maps.Clone(s.Schemas), Relations: maps.Clone(s.Relations),
		Users: maps.Clone(s.Users), Functions: maps.Clone(s.Functions), Types: maps.Clone(s.Types)}
	if next.Types == nil {
		next.Types = map[ID]*Type{}
	}
	for _, x := range c.Put {
		next.Relations[x.ID] = x
	}
	for _, x := range c.PutSchema {
		next.Schemas[x.Name] = x
	}
	for _, x := range c.PutUser {
		next.Users[x.Name] = x
	}
	for _, x := range c.PutFunc {
		next.Functions[x.ID] = x
	}
	for _, x := range c.PutType {
		next.Types[x.ID] = x
	}
	for _, id := range c.Drop {
		delete(next.Relations, id)
	}
	for _, n := range c.DropSchema {
		delete(next.Schemas, n)
	}
	for _, n := range c.DropUser {
		delete(next.Users, n)
	}
	for _, id := range c.DropFunc {
		delete(next.Functions, id)
	}
	for _, id := range c.DropType {
		delete(next.Types, id)
	}
	return next
}

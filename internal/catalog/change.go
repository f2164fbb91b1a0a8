package catalog

import (
	"errors"
	"maps"
	"slices"
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
	PutSecret  []*Secret
	DropSecret []ID
	Comments   map[string]string // "" removes one
}

// ErrConflict says that somebody else has changed the catalog since the change was decided.
var ErrConflict = errors.New("the catalog has changed")

// On returns a copy of the snapshot with the change made; it still needs its Revision and Index.
func (c *Change) On(s *Snapshot) *Snapshot {
	next := &Snapshot{Database: s.Database, Schemas: maps.Clone(s.Schemas), Relations: maps.Clone(s.Relations),
		Users: maps.Clone(s.Users), Functions: maps.Clone(s.Functions), Types: maps.Clone(s.Types), Secrets: maps.Clone(s.Secrets)}
	if next.Secrets == nil {
		next.Secrets = map[ID]*Secret{}
	}
	if next.Types == nil {
		next.Types = map[ID]*Type{}
	}
	next.Comments = maps.Clone(s.Comments)
	for k, text := range c.Comments {
		if next.Comments == nil {
			next.Comments = map[string]string{}
		}
		if next.Comments[k] = text; text == "" {
			delete(next.Comments, k)
		}
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
	for _, x := range c.PutSecret {
		next.Secrets[x.ID] = x
	}
	for _, id := range c.DropSecret {
		delete(next.Secrets, id)
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

// Diff is the change that leads from one snapshot to another.
func Diff(from, to *Snapshot) Change {
	var c Change
	c.Put, c.Drop = diffMap(from.Relations, to.Relations)
	c.PutSchema, c.DropSchema = diffMap(from.Schemas, to.Schemas)
	c.PutUser, c.DropUser = diffMap(from.Users, to.Users)
	c.PutFunc, c.DropFunc = diffMap(from.Functions, to.Functions)
	c.PutType, c.DropType = diffMap(from.Types, to.Types)
	c.PutSecret, c.DropSecret = diffMap(from.Secrets, to.Secrets)
	c.Comments = map[string]string{}
	for k := range from.Comments {
		c.Comments[k] = to.Comments[k]
	}
	maps.Copy(c.Comments, to.Comments)
	return c
}

func diffMap[K comparable, V any](from, to map[K]*V) (put []*V, drop []K) {
	for k, v := range to {
		if from[k] != v {
			put = append(put, v)
		}
	}
	for k := range from {
		if to[k] == nil {
			drop = append(drop, k)
		}
	}
	return put, drop
}

// Revert takes back what led from one snapshot to another, as far as now still has it.
func Revert(from, to, now *Snapshot) Change {
	c := Diff(to, from)
	c.Drop = slices.DeleteFunc(c.Drop, func(id ID) bool { return now.Relations[id] == nil })
	c.DropFunc = slices.DeleteFunc(c.DropFunc, func(id ID) bool { return now.Functions[id] == nil })
	c.DropType = slices.DeleteFunc(c.DropType, func(id ID) bool { return now.Types[id] == nil })
	c.DropSecret = slices.DeleteFunc(c.DropSecret, func(id ID) bool { return now.Secrets[id] == nil })
	return c
}

package catalog

import (
	"maps"
	"slices"

	"github.com/millrace/millrace/internal/catalog"
)

// Sources look like PostgreSQL's foreign tables: the connector is the server and the wrapper, the options are
// the table's.

// connectors lists the first source, by id, of each connector; its id gives the server's OID.
func (f *facts) connectors() []*catalog.Relation {
	var out []*catalog.Relation
	seen := map[string]bool{}
	for _, r := range f.relations() {
		if n := connectorOf(r); r.Kind == catalog.Source && !seen[n] {
			seen[n] = true
			out = append(out, r)
		}
	}
	return out
}

func connectorOf(r *catalog.Relation) string {
	if r.Connector == nil {
		return ""
	}
	return r.Connector.Name
}

func foreignTableRows(w *writer, f *facts) {
	servers := map[string]int64{}
	for _, r := range f.connectors() {
		servers[connectorOf(r)] = serverOf | int64(r.ID)
	}
	for _, r := range f.relations() {
		if r.Kind == catalog.Source {
			w.add(row{"ftrelid": r.ID, "ftserver": servers[connectorOf(r)], "ftoptions": options(r)})
		}
	}
}

func foreignServerRows(w *writer, f *facts) {
	for _, r := range f.connectors() {
		w.add(row{"oid": serverOf | int64(r.ID), "srvname": connectorOf(r), "srvowner": oidOwner, "srvfdw": serverOf | int64(r.ID)})
	}
}

func foreignWrapperRows(w *writer, f *facts) {
	for _, r := range f.connectors() {
		w.add(row{"oid": serverOf | int64(r.ID), "fdwname": connectorOf(r), "fdwowner": oidOwner})
	}
}

// options lists a connector's options as name=value, secrets hidden.
func options(r *catalog.Relation) []string {
	if r.Connector == nil {
		return []string{}
	}
	out := []string{}
	for _, name := range slices.Sorted(maps.Keys(r.Connector.Options)) {
		out = append(out, name+"="+catalog.ShownOption(name, r.Connector.Options[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Connector.Secrets)) {
		out = append(out, name+"="+catalog.Hidden)
	}
	return out
}

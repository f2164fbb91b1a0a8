package catalog

import (
	"net"
	"strconv"
	"time"

	"github.com/millrace/millrace/internal/catalog"
)

// The statistics views: who is connected, and what the relations are.

func (f *facts) now() time.Time { return time.Now() }

func activityRows(w *writer, f *facts) {
	for _, a := range f.activity() {
		host, port := splitRemote(a.Remote)
		r := row{"datid": oidDatabase, "datname": f.snap.Database, "pid": a.PID, "usesysid": f.roleOID(a.User), "usename": a.User,
			"application_name": a.AppName, "client_addr": host, "client_port": port, "backend_start": a.Opened, "query_start": a.QueryStart,
			"state_change": a.Change, "state": orNil(a.State), "query": a.Query, "backend_type": "client backend"}
		if !a.XactStart.IsZero() {
			r["xact_start"] = a.XactStart
		}
		if a.State != "active" {
			r["wait_event_type"], r["wait_event"] = "Client", "ClientRead"
		}
		w.add(r)
	}
}

// lockRows fills pg_locks: what transactions claim, which nobody waits for, and advisory locks.
func lockRows(w *writer, f *facts) {
	for _, a := range f.activity() {
		if a.XactStart.IsZero() {
			continue
		}
		vxid := strconv.Itoa(int(a.PID)) + "/1"
		w.add(row{"locktype": "virtualxid", "virtualxid": vxid, "virtualtransaction": vxid, "pid": a.PID, "mode": "ExclusiveLock", "granted": true, "fastpath": true})
		for _, l := range a.Locks {
			w.add(row{"locktype": "relation", "database": oidDatabase, "relation": l.Relation, "virtualtransaction": vxid, "pid": a.PID, "mode": l.Mode,
				"granted": true, "fastpath": false})
		}
	}
	f.y.locks.each(func(k lockKey, pid int32) {
		if !f.alive(pid) {
			return
		}
		class, object, sub := k.a>>32&0xffffffff, k.a&0xffffffff, 1
		if k.pair {
			class, object, sub = k.a&0xffffffff, k.b&0xffffffff, 2
		}
		w.add(row{"locktype": "advisory", "database": oidDatabase, "classid": class, "objid": object, "objsubid": sub, "virtualtransaction": strconv.Itoa(int(pid)) + "/1",
			"pid": pid, "mode": "ExclusiveLock", "granted": true, "fastpath": false})
	})
}

func cursorRows(w *writer, f *facts) {
	for _, c := range f.cursors() {
		w.add(row{"name": c.Name, "statement": c.Statement, "is_holdable": c.Holdable, "is_binary": c.Binary, "is_scrollable": c.Scroll, "creation_time": c.Created})
	}
}

func preparedRows(w *writer, f *facts) {
	for _, p := range f.prepared() {
		w.add(row{"name": p.Name, "statement": p.Statement, "prepare_time": p.Made, "parameter_types": oidsOf(p.Params), "from_sql": p.BySQL,
			"generic_plans": 0, "custom_plans": 0})
	}
}

// splitRemote cuts a client's address; a local socket has none and port −1.
func splitRemote(remote string) (host, port any) {
	h, p, err := net.SplitHostPort(remote)
	if err != nil {
		return nil, -1
	}
	n, err := strconv.Atoi(p)
	if err != nil {
		return h, -1
	}
	return h, n
}

func statDatabaseRows(w *writer, f *facts) {
	n := 0
	for range f.activity() {
		n++
	}
	w.add(row{"datid": oidDatabase, "datname": f.snap.Database, "numbackends": n, "stats_reset": f.started})
}

func statTables(w *writer, f *facts) {
	for _, r := range f.relations() {
		if r.Kind == catalog.Table || r.Kind == catalog.MatView {
			w.add(row{"relid": r.ID, "schemaname": r.Schema, "relname": r.Name})
		}
	}
}

func statIndexes(w *writer, f *facts) {
	for _, x := range f.indexes() {
		w.add(row{"relid": x.table.ID, "indexrelid": x.oid, "schemaname": x.table.Schema, "relname": x.table.Name, "indexrelname": x.name})
	}
}

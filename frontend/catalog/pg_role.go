package catalog

// Roles, the database, tablespaces and access methods.

func authidRows(w *writer, f *facts) {
	for _, u := range f.users() {
		w.add(row{"oid": f.roleOID(u.Name), "rolname": u.Name, "rolsuper": u.Super, "rolinherit": !u.NoInherit, "rolcreaterole": u.CreateRole || u.Super,
			"rolcreatedb": u.CreateDB || u.Super, "rolcanlogin": u.Login, "rolbypassrls": u.Super, "rolconnlimit": -1})
	}
}

func rolesRows(w *writer, f *facts) {
	for _, u := range f.users() {
		w.add(row{"oid": f.roleOID(u.Name), "rolname": u.Name, "rolsuper": u.Super, "rolinherit": !u.NoInherit, "rolcreaterole": u.CreateRole || u.Super,
			"rolcreatedb": u.CreateDB || u.Super, "rolcanlogin": u.Login, "rolreplication": false, "rolbypassrls": u.Super, "rolconnlimit": -1,
			"rolpassword": "********"})
	}
}

// userRows fills pg_user and pg_shadow, neither of which tells a password here.
func userRows(w *writer, f *facts) {
	for _, u := range f.users() {
		if !u.Login {
			continue
		}
		w.add(row{"usename": u.Name, "usesysid": f.roleOID(u.Name), "usecreatedb": u.CreateDB || u.Super, "usesuper": u.Super,
			"userepl": false, "usebypassrls": u.Super, "passwd": "********"})
	}
}

func databaseRows(w *writer, f *facts) {
	w.add(row{"oid": oidDatabase, "datname": f.snap.Database, "datdba": oidOwner, "encoding": 6, "datlocprovider": "c", "datallowconn": true,
		"datconnlimit": -1, "dattablespace": oidDefault, "datcollate": "C", "datctype": "C"})
}

func fixedTablespace(w *writer, _ *System) {
	w.add(row{"oid": oidDefault, "spcname": "pg_default", "spcowner": oidOwner})
	w.add(row{"oid": 1664, "spcname": "pg_global", "spcowner": oidOwner})
}

func fixedAm(w *writer, _ *System) {
	w.add(row{"oid": oidHeap, "amname": "heap", "amhandler": 3, "amtype": "t"})
	w.add(row{"oid": oidBtree, "amname": "btree", "amhandler": 330, "amtype": "i"})
}

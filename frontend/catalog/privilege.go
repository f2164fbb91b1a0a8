package catalog

import (
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// The has_…_privilege functions and what shows rights. The errors are PostgreSQL's.

var (
	tableRights     = []string{"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "RULE"}
	columnRights    = []string{"SELECT", "INSERT", "UPDATE", "REFERENCES"}
	schemaRights    = []string{"CREATE", "USAGE"}
	databaseRights  = []string{"CREATE", "CONNECT", "TEMPORARY", "TEMP"}
	sequenceRights  = []string{"USAGE", "SELECT", "UPDATE"}
	roleRights      = []string{"MEMBER", "USAGE"}
	executeRight    = []string{"EXECUTE"}
	usageRight      = []string{"USAGE"}
	createRight     = []string{"CREATE"}
	parameterRights = []string{"SET", "ALTER SYSTEM"}
)

// rightLetters are the letters that the catalog has for rights; it has none for the others, which everybody holds.
var rightLetters = map[string]byte{"SELECT": 'r', "INSERT": 'a', "UPDATE": 'w', "DELETE": 'd', "TRUNCATE": 'D', "REFERENCES": 'x', "TRIGGER": 't',
	"EXECUTE": 'X', "USAGE": 'U', "CREATE": 'C'}

// securable finds the object of a privilege; false for an OID that leads nowhere. p is nil for what everybody may use.
type securable func(c *call, arg int) (p *catalog.Protected, found bool, err error)

// privilege answers (right), (object, right) and (user, object, right): whether one of the rights is held.
func privilege(rights []string, find securable) answer {
	return func(c *call) (sqltypes.Datum, error) {
		object := len(c.args) - 2
		user, err := c.roleBefore(object)
		if err != nil {
			return nil, err
		}
		list := c.mustText(len(c.args) - 1)
		if err := checkRights(list, rights); err != nil {
			return nil, err
		}
		if find == nil {
			return true, nil
		}
		p, found, err := find(c, object)
		if err != nil || !found {
			return nil, err
		}
		return c.holds(user, p, list), nil
	}
}

// roleBefore is the role that stands before the object, or else the current one.
func (c *call) roleBefore(object int) (string, error) {
	if object < 1 {
		return c.session.User(), nil
	}
	if err := c.needRole(0); err != nil {
		return "", err
	}
	return c.roleArg(0), nil
}

// holds reports whether a role holds one of the rights of a list. "public" holds what everybody does.
func (c *call) holds(user string, p *catalog.Protected, list string) bool {
	for _, r := range strings.Split(list, ",") {
		word := strings.ToUpper(strings.TrimSpace(r))
		name, option := strings.CutSuffix(word, " WITH GRANT OPTION")
		letter := string(rightLetters[name])
		switch {
		case p == nil:
			if name == "SELECT" || name == "USAGE" || name == "EXECUTE" || name == "CONNECT" || strings.HasPrefix(name, "TEMP") || c.snap.Super(user) {
				return true
			}
		case option && c.snap.Options(user, *p, letter) != "", !option && c.snap.Rights(user, *p, letter) != "":
			return true
		}
	}
	return false
}

func checkRights(list string, known []string) error {
	for _, r := range strings.Split(list, ",") {
		word := strings.ToUpper(strings.TrimSpace(r))
		word = strings.TrimSuffix(strings.TrimSuffix(word, " WITH GRANT OPTION"), " WITH ADMIN OPTION")
		ok := false
		for _, k := range known {
			ok = ok || k == word
		}
		if !ok {
			return sqlerr.New(sqlerr.InvalidParameterValue, "unrecognized privilege type: %q", strings.TrimSpace(r))
		}
	}
	return nil
}

// needRole checks a role given by name or OID. An unknown OID holds what everybody does.
func (c *call) needRole(arg int) error {
	name, ok := c.text(arg)
	if !ok || name == "public" || c.snap.Users[name] != nil {
		return nil
	}
	return sqlerr.New(sqlerr.UndefinedObject, "role %q does not exist", name)
}

func securedClass(c *call, arg int) (*catalog.Protected, bool, error) {
	oid := c.oid(arg)
	if name, ok := c.text(arg); ok {
		var err error
		if oid, err = c.regOID(sqltypes.KRegclass, name); err != nil {
			return nil, false, err
		}
	}
	o := c.object(oid)
	if o == nil {
		return nil, false, nil
	}
	if o.user == nil {
		return nil, true, nil
	}
	p := o.user.Protected()
	return &p, true, nil
}

func securedSequence(c *call, arg int) (*catalog.Protected, bool, error) {
	p, found, err := securedClass(c, arg)
	if err != nil || !found {
		return p, found, err
	}
	if p == nil || p.All != catalog.SequenceRights {
		name, ok := c.text(arg)
		if !ok {
			return nil, false, nil
		}
		return nil, false, sqlerr.New(sqlerr.WrongObjectType, "%q is not a sequence", name)
	}
	return p, true, nil
}

func securedSchema(c *call, arg int) (*catalog.Protected, bool, error) {
	name, ok := c.text(arg)
	if ok && c.schemaOID(name) == 0 {
		return nil, false, sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", name)
	}
	if !ok {
		if name, ok = c.schemaName(c.oid(arg)); !ok {
			return nil, false, nil
		}
	}
	x := c.snap.Schemas[name]
	if x == nil {
		return nil, true, nil
	}
	p := x.Protected()
	return &p, true, nil
}

// securedFunction knows functions by OID; names, with arguments, are those of what everybody may call.
func securedFunction(c *call, arg int) (*catalog.Protected, bool, error) {
	oid := c.oid(arg)
	if name, ok := c.text(arg); ok {
		var err error
		if oid, err = c.regOID(sqltypes.KRegprocedure, name); err != nil {
			return nil, false, err
		}
	}
	if f := c.snap.Functions[catalog.ID(oid)]; f != nil {
		p := f.Protected()
		return &p, true, nil
	}
	return nil, true, nil
}

func securedDatabase(c *call, arg int) (*catalog.Protected, bool, error) {
	if name, ok := c.text(arg); ok {
		if name != c.snap.Database {
			return nil, false, sqlerr.New(sqlerr.InvalidCatalogName, "database %q does not exist", name)
		}
		return c.databaseRights(), true, nil
	}
	return c.databaseRights(), c.oid(arg) == oidDatabase, nil
}

// databaseRights are CREATE of the roles that have it; everybody may connect.
func (f *facts) databaseRights() *catalog.Protected {
	p := &catalog.Protected{Owner: f.owner(), All: "CTc", ACL: []catalog.Grant{{Grantor: f.owner(), Rights: "Tc"}, {Grantee: f.owner(), Grantor: f.owner(), Rights: "CTc"}}}
	for _, u := range f.users() {
		if u.CreateSchema {
			p.ACL = append(p.ACL, catalog.Grant{Grantee: u.Name, Grantor: f.owner(), Rights: "C"})
		}
	}
	return p
}

// columnPrivilege answers (table, column, right) and (user, table, column, right).
func columnPrivilege(c *call) (sqltypes.Datum, error) {
	table := len(c.args) - 3
	user, err := c.roleBefore(table)
	if err != nil {
		return nil, err
	}
	list := c.mustText(len(c.args) - 1)
	if err := checkRights(list, columnRights); err != nil {
		return nil, err
	}
	p, found, err := securedClass(c, table)
	if err != nil || !found {
		return nil, err
	}
	oid := c.oid(table)
	if name, ok := c.text(table); ok {
		if oid, err = c.regOID(sqltypes.KRegclass, name); err != nil {
			return nil, err
		}
	}
	if name, ok := c.text(table + 1); ok {
		if err := c.needColumn(oid, name); err != nil {
			return nil, err
		}
	} else if !c.hasAttribute(oid, c.oid(table+1)) {
		return nil, nil
	}
	if o := c.object(oid); o != nil && o.user != nil && !c.holds(user, p, list) {
		k, ok := -1, false
		if name, isName := c.text(table + 1); isName {
			k, ok = o.user.Column(name)
		} else {
			k, ok = o.user.ColumnAt(int32(c.oid(table + 1)))
		}
		if ok {
			column := o.user.ProtectedColumn(k)
			return c.holds(user, &column, list), nil
		}
	}
	return c.holds(user, p, list), nil
}

// anyColumnPrivilege answers (table, right) and (user, table, right).
func anyColumnPrivilege(c *call) (sqltypes.Datum, error) {
	whole, err := privilege(columnRights, securedClass)(c)
	if err != nil || whole != false {
		return whole, err
	}
	table := len(c.args) - 2
	user, err := c.roleBefore(table)
	if err != nil {
		return nil, err
	}
	oid := c.oid(table)
	if name, ok := c.text(table); ok {
		if oid, err = c.regOID(sqltypes.KRegclass, name); err != nil {
			return nil, err
		}
	}
	if o := c.object(oid); o != nil && o.user != nil {
		for k := range o.user.Columns {
			if p := o.user.ProtectedColumn(k); c.holds(user, &p, c.mustText(len(c.args)-1)) {
				return true, nil
			}
		}
	}
	return false, nil
}

// needColumn fails with 42703 when a relation has no column of the name.
func (f *facts) needColumn(oid int64, column string) error {
	o := f.object(oid)
	switch {
	case o == nil:
		return sqlerr.New(sqlerr.UndefinedTable, "relation with OID %s does not exist", strconv.FormatInt(oid, 10))
	case o.system != nil:
		if _, ok := o.system.index[column]; ok {
			return nil
		}
	case o.user != nil:
		if _, ok := o.user.Column(column); ok {
			return nil
		}
	}
	return sqlerr.New(sqlerr.UndefinedColumn, "column %q of relation %q does not exist", column, o.name)
}

func (f *facts) hasAttribute(oid, num int64) bool {
	o := f.object(oid)
	switch {
	case o == nil:
		return false
	case o.system != nil:
		return num >= 1 && num <= int64(len(o.system.cols))
	case o.user == nil:
		return num >= 1 && num <= int64(len(o.typ.Fields))
	}
	for i := range o.user.Columns {
		if int64(attnum(o.user, i)) == num {
			return true
		}
	}
	return false
}

// hasRole answers whether a user is a member of a role, or has its rights without SET ROLE.
func hasRole(c *call) (sqltypes.Datum, error) {
	role := len(c.args) - 2
	for i := range role + 1 {
		if err := c.needRole(i); err != nil {
			return nil, err
		}
	}
	list := c.mustText(len(c.args) - 1)
	if err := checkRights(list, roleRights); err != nil {
		return nil, err
	}
	user, of := c.session.User(), c.roleArg(role)
	if role == 1 {
		user = c.roleArg(0)
	}
	for _, r := range strings.Split(list, ",") {
		word := strings.ToUpper(strings.TrimSpace(r))
		name, admin := strings.CutSuffix(strings.TrimSuffix(word, " WITH GRANT OPTION"), " WITH ADMIN OPTION")
		switch {
		case word != name && admin || strings.HasSuffix(word, "OPTION"):
			if c.snap.Admin(user, of) {
				return true, nil
			}
		case name == "USAGE" && c.snap.Acts(user, of), name == "MEMBER" && c.snap.Member(user, of):
			return true, nil
		}
	}
	return false, nil
}

func (c *call) roleArg(i int) string {
	if name, ok := c.text(i); ok {
		return name
	}
	name, _ := c.roleName(c.oid(i))
	return name
}

// aclItems are an object's rights as PostgreSQL shows them; nil for the defaults.
func aclItems(p catalog.Protected) any {
	if p.ACL == nil {
		return nil
	}
	items := []string{}
	for _, g := range p.ACL {
		if g.Rights == "" {
			continue
		}
		var b strings.Builder
		b.WriteString(aclName(g.Grantee) + "=")
		for _, r := range g.Rights {
			b.WriteRune(r)
			if strings.ContainsRune(g.Options, r) {
				b.WriteByte('*')
			}
		}
		items = append(items, b.String()+"/"+aclName(g.Grantor))
	}
	return items
}

// aclName quotes a role's name where an aclitem must.
func aclName(name string) string {
	for _, r := range name {
		if r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
	}
	return name
}

// rightWords are the words of the rights of tables, in the order of information_schema.
var rightWords = []struct {
	letter byte
	word   string
}{{'a', "INSERT"}, {'r', "SELECT"}, {'w', "UPDATE"}, {'d', "DELETE"}, {'D', "TRUNCATE"}, {'x', "REFERENCES"}, {'t', "TRIGGER"}}

// privilegeRows fills table_privileges, and role_table_grants, which leaves out what everybody may do. Both show what concerns the
// user's roles.
func privilegeRows(w *writer, f *facts) {
	user := f.session.User()
	add := func(schema, table string, p catalog.Protected) {
		for _, g := range p.Grants() {
			mine := f.snap.Member(user, g.Grantee) || f.snap.Member(user, g.Grantor) || g.Grantee == "" && w.r.name == "table_privileges"
			if !mine {
				continue
			}
			grantee := g.Grantee
			if grantee == "" {
				grantee = "PUBLIC"
			}
			for _, r := range rightWords {
				if strings.IndexByte(g.Rights, r.letter) < 0 {
					continue
				}
				option := strings.IndexByte(g.Options, r.letter) >= 0 || g.Grantee == p.Owner
				w.add(row{"grantor": g.Grantor, "grantee": grantee, "table_catalog": f.snap.Database, "table_schema": schema, "table_name": table,
					"privilege_type": r.word, "is_grantable": yesNo(option), "with_hierarchy": yesNo(r.letter == 'r')})
			}
		}
	}
	for _, r := range f.y.relations {
		add(r.schema, r.name, catalog.Protected{Owner: f.owner(), ACL: []catalog.Grant{{Grantor: f.owner(), Rights: "r"}}})
	}
	for _, r := range f.relations() {
		if r.Kind != catalog.Index && r.Kind != catalog.Sequence {
			add(r.Schema, r.Name, r.Protected())
		}
	}
}

// memberRows fills pg_auth_members.
func memberRows(w *writer, f *facts) {
	for _, u := range f.users() {
		for _, m := range u.MemberOf {
			w.add(row{"roleid": f.roleOID(m.Role), "member": f.roleOID(u.Name), "grantor": f.roleOID(m.Grantor), "admin_option": m.Admin})
		}
	}
}

// enabledRoleRows fills enabled_roles: the roles that the user may act as.
func enabledRoleRows(w *writer, f *facts) {
	for _, u := range f.users() {
		if f.snap.Acts(f.session.User(), u.Name) {
			w.add(row{"role_name": u.Name})
		}
	}
}

// applicableRoleRows fills applicable_roles, and administrable_role_authorizations with those that others may be let into.
func applicableRoleRows(w *writer, f *facts) {
	for _, u := range f.users() {
		for _, m := range u.MemberOf {
			if f.snap.Acts(f.session.User(), u.Name) && (m.Admin || w.r.name == "applicable_roles") {
				w.add(row{"grantee": u.Name, "role_name": m.Role, "is_grantable": yesNo(m.Admin)})
			}
		}
	}
}

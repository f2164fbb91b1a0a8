package catalog

import (
	"strconv"
	"strings"

	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// The has_…_privilege functions. GRANT and REVOKE are accepted and change nothing: whoever may log in may do
// everything, so the answer is true for whatever exists, and the errors are PostgreSQL's.

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

// exists checks the object of a privilege; NULL for an OID that leads nowhere.
type exists func(c *call, arg int) (found bool, err error)

// privilege answers (object, right) and (user, object, right).
func privilege(rights []string, check exists) answer {
	return func(c *call) (sqltypes.Datum, error) {
		object := len(c.args) - 2
		if object == 1 {
			if err := c.needRole(0); err != nil {
				return nil, err
			}
		}
		if err := checkRights(c.mustText(len(c.args)-1), rights); err != nil {
			return nil, err
		}
		if check == nil {
			return true, nil
		}
		found, err := check(c, object)
		if err != nil || !found {
			return nil, err
		}
		return true, nil
	}
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

func classExists(c *call, arg int) (bool, error) {
	if name, ok := c.text(arg); ok {
		_, err := c.regOID(sqltypes.KRegclass, name)
		return err == nil, err
	}
	return c.object(c.oid(arg)) != nil, nil
}

func notSequence(c *call, arg int) (bool, error) {
	name, ok := c.text(arg)
	if !ok {
		return c.object(c.oid(arg)) != nil, nil
	}
	if _, err := c.regOID(sqltypes.KRegclass, name); err != nil {
		return false, err
	}
	return false, sqlerr.New(sqlerr.WrongObjectType, "%q is not a sequence", name)
}

func schemaExists(c *call, arg int) (bool, error) {
	if name, ok := c.text(arg); ok {
		if c.schemaOID(name) == 0 {
			return false, sqlerr.New(sqlerr.InvalidSchemaName, "schema %q does not exist", name)
		}
		return true, nil
	}
	_, ok := c.schemaName(c.oid(arg))
	return ok, nil
}

func databaseExists(c *call, arg int) (bool, error) {
	if name, ok := c.text(arg); ok {
		if name != c.snap.Database {
			return false, sqlerr.New(sqlerr.InvalidCatalogName, "database %q does not exist", name)
		}
		return true, nil
	}
	return c.oid(arg) == oidDatabase, nil
}

// columnPrivilege answers (table, column, right) and (user, table, column, right).
func columnPrivilege(c *call) (sqltypes.Datum, error) {
	table := len(c.args) - 3
	if table == 1 {
		if err := c.needRole(0); err != nil {
			return nil, err
		}
	}
	if err := checkRights(c.mustText(len(c.args)-1), columnRights); err != nil {
		return nil, err
	}
	found, err := classExists(c, table)
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
		return true, nil
	}
	if !c.hasAttribute(oid, c.oid(table+1)) {
		return nil, nil
	}
	return true, nil
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

// hasRole answers whether a user is a member of a role: there is no membership, so of oneself, and a superuser of all.
func hasRole(c *call) (sqltypes.Datum, error) {
	role := len(c.args) - 2
	for i := range role + 1 {
		if err := c.needRole(i); err != nil {
			return nil, err
		}
	}
	if err := checkRights(c.mustText(len(c.args)-1), roleRights); err != nil {
		return nil, err
	}
	user := c.session.User()
	if role == 1 {
		user = c.roleArg(0)
	}
	u := c.snap.Users[user]
	return u != nil && u.Super || user == c.roleArg(role), nil
}

func (c *call) roleArg(i int) string {
	if name, ok := c.text(i); ok {
		return name
	}
	name, _ := c.roleName(c.oid(i))
	return name
}

package catalog

import (
	"slices"
	"strings"
)

// Rights are letters, PostgreSQL's: SELECT r, INSERT a, UPDATE w, DELETE d, TRUNCATE D, REFERENCES x, TRIGGER t, EXECUTE X, USAGE U,
// CREATE C.
const (
	TableRights      = "arwdDxt"
	SequenceRights   = "rwU"
	SchemaRights     = "UC"
	FunctionRights   = "X"
	TypeRights       = "U"
	SecretRights     = "U"
	ConnectionRights = "U"
	ColumnRights     = "arwx"
)

// Grant is what one role has given to another on one object.
type Grant struct {
	Grantee string `json:",omitempty"` // "": everybody
	Grantor string
	Rights  string `json:",omitempty"` // in the order of the constants
	// Options are those of Rights that the grantee may give on.
	Options string `json:",omitempty"`
}

// Protected is an object that has an owner and rights.
type Protected struct {
	Owner string
	ACL   []Grant // nil: what Default says
	// All are the rights that there are on such an object, and Public those that everybody has by default.
	All, Public string
}

// Protected returns the relation's owner and rights.
func (r *Relation) Protected() Protected {
	if r.Kind == Sequence {
		return Protected{Owner: r.Owner, ACL: r.ACL, All: SequenceRights}
	}
	if r.Kind == Connection {
		return Protected{Owner: r.Owner, ACL: r.ACL, All: ConnectionRights}
	}
	return Protected{Owner: r.Owner, ACL: r.ACL, All: TableRights}
}

// Protected returns the schema's owner and rights. Everybody may use public, as in PostgreSQL 15, and not create there.
func (s *Schema) Protected() Protected {
	p := Protected{Owner: s.Owner, ACL: s.ACL, All: SchemaRights}
	if s.Name == "public" {
		p.Public = "U"
	}
	return p
}

// Protected returns the function's owner and rights.
func (f *Function) Protected() Protected {
	return Protected{Owner: f.Owner, ACL: f.ACL, All: FunctionRights, Public: FunctionRights}
}

// Protected returns the type's owner and rights.
func (t *Type) Protected() Protected {
	return Protected{Owner: t.Owner, ACL: t.ACL, All: TypeRights, Public: TypeRights}
}

// Protected returns the secret's owner and rights. Nobody else may use it unless granted.
func (x *Secret) Protected() Protected {
	return Protected{Owner: x.Owner, ACL: x.ACL, All: SecretRights}
}

// ProtectedColumn returns the rights on column k. By default there are none: those on the relation hold for all columns.
func (r *Relation) ProtectedColumn(k int) Protected {
	p := Protected{Owner: r.Owner, ACL: r.Columns[k].ACL, All: ColumnRights}
	if p.ACL == nil {
		p.ACL = []Grant{}
	}
	return p
}

// MayColumns reports whether a role holds rights on columns, by right; where none are listed, on any one. A right that is not among
// them is none on columns.
func (s *Snapshot) MayColumns(role string, r *Relation, rights string, columns map[byte][]int) bool {
	for i := range len(rights) {
		ks, ok := columns[rights[i]]
		if !ok {
			return false
		}
		may := func(k int) bool { return s.May(role, r.ProtectedColumn(k), rights[i]) }
		if len(ks) == 0 {
			any := false
			for k := range r.Columns {
				any = any || may(k)
			}
			if !any {
				return false
			}
		}
		for _, k := range ks {
			if k >= len(r.Columns) || !may(k) {
				return false
			}
		}
	}
	return true
}

// Grants are the object's rights, its defaults written out.
func (p Protected) Grants() []Grant {
	if p.ACL != nil {
		return p.ACL
	}
	var out []Grant
	if p.Public != "" {
		out = append(out, Grant{Grantor: p.Owner, Rights: p.Public})
	}
	return append(out, Grant{Grantee: p.Owner, Grantor: p.Owner, Rights: p.All})
}

// Membership is that of a role in another.
type Membership struct {
	Role, Grantor string
	Admin         bool `json:",omitempty"` // may let others in
}

// Super reports whether a role may do everything.
func (s *Snapshot) Super(role string) bool {
	u := s.Users[role]
	return u != nil && u.Super
}

// roles lists a role and those that it is a member of, directly or not. inherit: only those whose rights it has without SET ROLE.
func (s *Snapshot) roles(role string, inherit bool) []string {
	out := []string{role}
	for i := 0; i < len(out); i++ {
		u := s.Users[out[i]]
		if u == nil || inherit && u.NoInherit {
			continue
		}
		for _, m := range u.MemberOf {
			if !slices.Contains(out, m.Role) {
				out = append(out, m.Role)
			}
		}
	}
	return out
}

// Member reports whether a role is, or is a member of, another, so that it may SET ROLE to it.
func (s *Snapshot) Member(role, of string) bool {
	return s.Super(role) || slices.Contains(s.roles(role, false), of)
}

// MemberNotSuper is Member without regard to superusers, who are members of all.
func (s *Snapshot) MemberNotSuper(role, of string) bool {
	return slices.Contains(s.roles(role, false), of)
}

// Acts reports whether a role has the rights of another without SET ROLE: of an owner, say.
func (s *Snapshot) Acts(role, as string) bool {
	return s.Super(role) || slices.Contains(s.roles(role, true), as)
}

// Admin reports whether a role may let others into another.
func (s *Snapshot) Admin(role, of string) bool {
	if s.Super(role) {
		return true
	}
	for _, r := range s.roles(role, true) {
		if u := s.Users[r]; u != nil && slices.ContainsFunc(u.MemberOf, func(m Membership) bool { return m.Role == of && m.Admin }) {
			return true
		}
	}
	return false
}

// Rights are those of wanted that a role has on an object.
func (s *Snapshot) Rights(role string, p Protected, wanted string) string {
	if s.Super(role) {
		return wanted
	}
	return s.held(role, p, wanted, func(g *Grant) string { return g.Rights })
}

// Options are those of wanted that a role may give on.
func (s *Snapshot) Options(role string, p Protected, wanted string) string {
	if s.Acts(role, p.Owner) {
		return wanted
	}
	return s.held(role, p, wanted, func(g *Grant) string { return g.Options })
}

func (s *Snapshot) held(role string, p Protected, wanted string, of func(*Grant) string) string {
	roles := s.roles(role, true)
	grants := p.Grants()
	var out strings.Builder
	for _, right := range wanted {
		for i := range grants {
			g := &grants[i]
			if strings.ContainsRune(of(g), right) && (g.Grantee == "" || slices.Contains(roles, g.Grantee)) {
				out.WriteRune(right)
				break
			}
		}
	}
	return out.String()
}

// May reports whether a role has a right on an object.
func (s *Snapshot) May(role string, p Protected, right byte) bool {
	return s.Rights(role, p, string(right)) != ""
}

// WithGrant returns the object's rights with more given: rights that grantee gets of grantor, with the option to give them on.
func (p Protected) WithGrant(g Grant) []Grant {
	out := slices.Clone(p.Grants())
	i := slices.IndexFunc(out, func(o Grant) bool { return o.Grantee == g.Grantee && o.Grantor == g.Grantor })
	if i < 0 {
		return append(out, g)
	}
	out[i].Rights = p.order(out[i].Rights + g.Rights)
	out[i].Options = p.order(out[i].Options + g.Options)
	return out
}

// Without returns the object's rights without those that grantor has given to grantee, or with optionOnly without the option to
// give them on. What the grantee has given on goes too, with cascade; without it the second result is true if there is such.
func (p Protected) Without(g Grant, optionOnly, cascade bool) (acl []Grant, dependent bool) {
	out := slices.Clone(p.Grants())
	for i := range out {
		if out[i].Grantee != g.Grantee || out[i].Grantor != g.Grantor {
			continue
		}
		lost := strings.Map(func(r rune) rune {
			if strings.ContainsRune(g.Rights, r) {
				return r
			}
			return -1
		}, out[i].Options)
		out[i].Options = remove(out[i].Options, g.Rights)
		if !optionOnly {
			out[i].Rights = remove(out[i].Rights, g.Rights)
		}
		if lost == "" || g.Grantee == p.Owner {
			continue
		}
		q := p
		q.ACL = out
		for _, o := range slices.Clone(out) {
			below := common(o.Rights, lost)
			if o.Grantor != g.Grantee || below == "" {
				continue
			}
			if !cascade {
				return nil, true
			}
			q.ACL, _ = q.Without(Grant{Grantee: o.Grantee, Grantor: o.Grantor, Rights: below}, false, true)
		}
		out = q.ACL
		break
	}
	// An owner without rights stays, so that the list is not taken for the defaults.
	return slices.DeleteFunc(out, func(o Grant) bool { return o.Rights == "" && o.Grantee != p.Owner }), false
}

func remove(from, rights string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(rights, r) {
			return -1
		}
		return r
	}, from)
}

func common(a, b string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(b, r) {
			return r
		}
		return -1
	}, a)
}

// order writes each right once, in the order of All.
func (p Protected) order(rights string) string { return common(p.All, rights) }

// OwnedBy returns the rights after the object has got another owner, who takes the place of the former one.
func (p Protected) OwnedBy(owner string) []Grant { return renameGrants(p.ACL, p.Owner, owner) }

func renameGrants(acl []Grant, old, next string) []Grant {
	if acl == nil {
		return nil
	}
	out := slices.Clone(acl)
	for i := range out {
		if out[i].Grantee == old {
			out[i].Grantee = next
		}
		if out[i].Grantor == old {
			out[i].Grantor = next
		}
	}
	return out
}

// mentions reports whether a role owns an object or is named in its rights.
func (p Protected) mentions(role string) bool {
	return p.Owner == role || slices.ContainsFunc(p.ACL, func(g Grant) bool { return g.Grantee == role || g.Grantor == role })
}

// mentions is Protected.mentions with the rights on columns.
func (r *Relation) mentions(role string) bool {
	if p := r.Protected(); p.mentions(role) {
		return true
	}
	for k := range r.Columns {
		if p := r.ProtectedColumn(k); slices.ContainsFunc(p.ACL, func(g Grant) bool { return g.Grantee == role || g.Grantor == role }) {
			return true
		}
	}
	return false
}

// ColumnsRenamed are the columns with a role's name in their rights replaced.
func (r *Relation) ColumnsRenamed(old, next string) []Column {
	out := slices.Clone(r.Columns)
	for k := range out {
		out[k].ACL = renameGrants(out[k].ACL, old, next)
	}
	return out
}

// RenameRole adds to c what names a role by its old name.
func (s *Snapshot) RenameRole(c *Change, old, next string) {
	for _, r := range s.Relations {
		if r.mentions(old) {
			n := *r
			n.Owner, n.ACL = swap(r.Owner, old, next), renameGrants(r.ACL, old, next)
			n.Columns = r.ColumnsRenamed(old, next)
			c.Put = append(c.Put, &n)
		}
	}
	for _, x := range s.Secrets {
		if p := x.Protected(); p.mentions(old) {
			n := *x
			n.Owner, n.ACL = swap(x.Owner, old, next), renameGrants(x.ACL, old, next)
			c.PutSecret = append(c.PutSecret, &n)
		}
	}
	for _, x := range s.Schemas {
		if p := x.Protected(); p.mentions(old) {
			n := *x
			n.Owner, n.ACL = swap(x.Owner, old, next), renameGrants(x.ACL, old, next)
			c.PutSchema = append(c.PutSchema, &n)
		}
	}
	for _, x := range s.Functions {
		if p := x.Protected(); p.mentions(old) {
			n := *x
			n.Owner, n.ACL = swap(x.Owner, old, next), renameGrants(x.ACL, old, next)
			c.PutFunc = append(c.PutFunc, &n)
		}
	}
	for _, x := range s.Types {
		if p := x.Protected(); p.mentions(old) {
			n := *x
			n.Owner, n.ACL = swap(x.Owner, old, next), renameGrants(x.ACL, old, next)
			c.PutType = append(c.PutType, &n)
		}
	}
	for _, u := range s.Users {
		if slices.ContainsFunc(u.MemberOf, func(m Membership) bool { return m.Role == old || m.Grantor == old }) && u.Name != old {
			n := *u
			n.MemberOf = slices.Clone(u.MemberOf)
			for i, m := range n.MemberOf {
				n.MemberOf[i].Role, n.MemberOf[i].Grantor = swap(m.Role, old, next), swap(m.Grantor, old, next)
			}
			c.PutUser = append(c.PutUser, &n)
		}
	}
}

func swap(name, old, next string) string {
	if name == old {
		return next
	}
	return name
}

// Holdings lists what keeps a role from being dropped, as PostgreSQL words it, in order.
func (s *Snapshot) Holdings(role string) []string {
	var out []string
	add := func(p Protected, what string) {
		switch {
		case p.Owner == role:
			out = append(out, "owner of "+what)
		case p.mentions(role):
			out = append(out, "privileges for "+what)
		}
	}
	for _, x := range s.Schemas {
		add(x.Protected(), "schema "+x.Name)
	}
	for _, r := range s.Relations {
		if r.Kind == Index {
			continue
		}
		if add(r.Protected(), string(r.Kind)+" "+r.Name); r.Owner == role {
			continue
		}
		for k, c := range r.Columns {
			if slices.ContainsFunc(c.ACL, func(g Grant) bool { return g.Grantee == role || g.Grantor == role }) {
				out = append(out, "privileges for column "+r.Columns[k].Name+" of "+string(r.Kind)+" "+r.Name)
			}
		}
	}
	for _, x := range s.Functions {
		add(x.Protected(), "function "+x.Name)
	}
	for _, x := range s.Secrets {
		add(x.Protected(), "secret "+x.Name)
	}
	for _, x := range s.Types {
		add(x.Protected(), "type "+x.Name)
	}
	slices.Sort(out)
	return out
}

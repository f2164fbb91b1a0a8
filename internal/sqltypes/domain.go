package sqltypes

// A domain has the kind, and so the representation, of the type that it restricts; its Ext makes it another type. All
// that goes by kind (input, output, keys, images) therefore treats its values as those of the base type.

// IsDomain reports whether t was made by CREATE DOMAIN. An array of a domain's values is no domain.
func (t Type) IsDomain() bool {
	d := t.Ext.named()
	if d == nil || d.Base == (Type{}) {
		return false
	}
	return t.Kind != KArray || d.Base.Kind == KArray && t.Elem == d.Base.Elem && t.Elem != KArray
}

// Restricts returns the type that a domain is over, with its modifier: another domain, perhaps.
func (t Type) Restricts() Type { return t.Ext.Def().Base }

// Underlying returns the type below a domain and all domains that it is over, with its modifier; t itself if it is none.
func (t Type) Underlying() Type {
	for t.IsDomain() {
		t = t.Restricts()
	}
	return t
}

// MadeOfDomains reports whether t is a domain, or values of domains are parts of t's.
func (t Type) MadeOfDomains() bool {
	if t.Ext.IsZero() {
		return false
	}
	if t.IsDomain() {
		return true
	}
	switch t.Kind {
	case KArray:
		return t.ElemType().MadeOfDomains()
	case KRecord:
		for _, f := range t.Fields() {
			if f.Type.MadeOfDomains() {
				return true
			}
		}
	case KMap:
		k, v := t.KeyValue()
		return k.MadeOfDomains() || v.MadeOfDomains()
	}
	return false
}

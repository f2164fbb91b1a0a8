package catalog

import (
	"maps"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// Secret is what CREATE SECRET made. Its value is encrypted (internal/secret); nothing shows it.
type Secret struct {
	ID      ID
	Schema  string
	Name    string
	Owner   string
	Sealed  []byte
	Version uint32  // counts ALTER SECRETs
	Comment string  `json:",omitempty"`
	ACL     []Grant `json:",omitempty"` // nil: the owner alone
}

// SecretRef is SECRET name [AS FILE] as the value of an option.
type SecretRef struct {
	ID ID
	// File: the option gets the path of a file that holds the value.
	File bool `json:",omitempty"`
}

// SecretIDs lists the secrets that a connector's options name, each once, by id.
func (c *Connector) SecretIDs() []ID {
	if c == nil {
		return nil
	}
	var out []ID
	for _, m := range []map[string]SecretRef{c.Secrets, c.FormatSecrets} {
		for _, ref := range m {
			out = append(out, ref.ID)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Webhook is what VALIDATE said of a table with connector webhook: whose requests are taken.
type Webhook struct {
	// Check is the SQL text of a condition over headers (jsonb), payload (bytea) and the secret; "": everybody's.
	Check string `json:",omitempty"`
	// Secret is known to Check as SecretName. 0: none.
	Secret     ID     `json:",omitempty"`
	SecretName string `json:",omitempty"`
}

// WebhookConnector is the connector whose rows come by HTTP and are written as INSERT writes them.
const WebhookConnector = "webhook"

// SecretIDs lists the secrets that a relation names, each once, by id.
func (r *Relation) SecretIDs() []ID {
	out := r.Connector.SecretIDs()
	if r.Webhook != nil && r.Webhook.Secret != 0 {
		out = append(out, r.Webhook.Secret)
		slices.Sort(out)
	}
	return slices.Compact(out)
}

// FindSecret looks a secret up by schema and name.
func (s *Snapshot) FindSecret(schema, name string) (*Secret, bool) {
	for _, x := range s.Secrets {
		if x.Schema == schema && x.Name == name {
			return x, true
		}
	}
	return nil, false
}

// SortedSecrets lists the secrets by id.
func (s *Snapshot) SortedSecrets() []*Secret {
	out := slices.Collect(maps.Values(s.Secrets))
	sort.Slice(out, func(i, j int) bool { return out[i].ID < out[j].ID })
	return out
}

// secretWords are what the names of options have in them whose values are nobody's business.
var secretWords = []string{"password", "passwd", "secret", "token", "credential", "private", "access.key", "access_key", "sasl.jaas", "jwt", "nkey",
	"authorization", "cookie", "api_key", "api-key"}

// HidesOption reports whether an option's value is left out wherever options are shown.
func HidesOption(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(name, w) })
}

// Hidden stands where a value is left out.
const Hidden = "[hidden]"

// urlPassword is a password in a URL, before the host or among the parameters.
var urlPassword = regexp.MustCompile(`(?i)(://[^/@:\s"]*:)([^/@\s"]+)(@)|([?&;](?:password|passwd|pwd|token|secret|api_?key|access_?key)=)([^&;\s"]+)`)

// ShownOption is an option's value as it may be shown: without what only who wrote it may know.
func ShownOption(name, value string) string {
	if HidesOption(name) {
		return Hidden
	}
	return urlPassword.ReplaceAllString(value, "${1}${4}"+Hidden+"${3}")
}

// HiddenIn lists the parts of an option's value that ShownOption leaves out.
func HiddenIn(name, value string) []string {
	if HidesOption(name) {
		return []string{value}
	}
	var out []string
	for _, m := range urlPassword.FindAllStringSubmatch(value, -1) {
		out = append(out, m[2]+m[5]) // one of them is empty
	}
	return out
}

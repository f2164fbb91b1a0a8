package sqlclient

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
)

// meta is a backslash command.
type meta struct {
	name, args, help string
	run              func(c *client, ctx context.Context, arg string) error
}

// metas lists the backslash commands, in the order of the help.
func metas() []meta {
	return []meta{
		{"q", "", "quit", func(*client, context.Context, string) error { return errQuit }},
		{"?", "", "show this help", (*client).help},
		{"i", "FILE", "execute commands from file", func(c *client, ctx context.Context, arg string) error { return c.include(ctx, arg) }},
		{"x", "[on|off]", "toggle expanded output", func(c *client, _ context.Context, arg string) error {
			return c.toggle(&c.expanded, arg, "Expanded display")
		}},
		{"timing", "[on|off]", "toggle timing of commands", func(c *client, _ context.Context, arg string) error {
			return c.toggle(&c.timing, arg, "Timing")
		}},
		{"conninfo", "", "show the connection", (*client).connInfo},
		{"d", "[NAME]", "list relations, or describe one", (*client).describe},
		{"dt", "[PATTERN]", "list tables", listRelations("r", "p")},
		{"dv", "[PATTERN]", "list views", listRelations("v")},
		{"dm", "[PATTERN]", "list materialized views", listRelations("m")},
		{"di", "[PATTERN]", "list indexes", listRelations("i")},
		{"dn", "[PATTERN]", "list schemas", (*client).listSchemas},
		{"df", "[PATTERN]", "list functions", (*client).listFunctions},
		{"du", "[PATTERN]", "list roles", (*client).listRoles},
		{"l", "[PATTERN]", "list databases", (*client).listDatabases},
	}
}

// backslash runs a command; text begins with the backslash.
func (c *client) backslash(ctx context.Context, text string) error {
	name, arg, _ := strings.Cut(strings.TrimSuffix(text[1:], ";"), " ")
	plain := strings.TrimRight(name, "+S") // \dt+ and \dS have no more to say here
	for _, m := range metas() {
		if m.name == name || m.name == plain {
			return m.run(c, ctx, strings.TrimSpace(arg))
		}
	}
	c.say("%sinvalid command \\%s\nTry \\? for help.\n", c.where, name)
	return errTold
}

func (c *client) help(context.Context, string) error {
	for _, m := range metas() {
		fmt.Fprintf(c.out, "  %-18s %s\n", `\`+m.name+" "+m.args, m.help)
	}
	fmt.Fprint(c.out, "  SQL statements end with a semicolon.\n")
	return nil
}

// include runs a file in place.
func (c *client) include(ctx context.Context, name string) error {
	if name == "" {
		c.say("%s\\i: missing required argument\n", c.where)
		return errTold
	}
	if c.depth >= 50 {
		c.say("%s\\i: files include one another\n", c.where)
		return errTold
	}
	c.depth++
	defer func() { c.depth-- }()
	return c.file(ctx, strings.Trim(name, `'"`))
}

// toggle sets or turns a switch and says so.
func (c *client) toggle(field *bool, arg, what string) error {
	switch strings.ToLower(arg) {
	case "":
		*field = !*field
	case "on", "true", "1":
		*field = true
	case "off", "false", "0":
		*field = false
	default:
		c.say("%sunrecognized value %q: Boolean expected\n", c.where, arg)
		return errTold
	}
	state := "off"
	if *field {
		state = "on"
	}
	fmt.Fprintf(c.out, "%s is %s.\n", what, state)
	return nil
}

func (c *client) connInfo(context.Context, string) error {
	encrypted := ""
	if _, ok := c.conn.Conn().(*tls.Conn); ok {
		encrypted = ", encrypted"
	}
	fmt.Fprintf(c.out, "You are connected to database %q at %s (server version %s%s).\n",
		c.o.Database, c.conn.Conn().RemoteAddr(), c.conn.ParameterStatus("server_version"), encrypted)
	return nil
}

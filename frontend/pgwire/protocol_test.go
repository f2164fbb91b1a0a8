package pgwire

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
)

func TestSimpleQuery(t *testing.T) {
	tests := []struct{ name, sql, want string }{
		{"rows", "rows 5", `
			Row id:20/0 name:25/0
			Data "1" "n1"
			Data "2" "n2"
			Data "3" "n3"
			Data "4" "n4"
			Data "5" NULL
			Complete SELECT 5
			Ready I`},
		{"no rows", "rows 0", "Row id:20/0 name:25/0\nComplete SELECT 0\nReady I"},
		{"weights", "weights", `
			Row id:20/0 name:25/0
			Data "1" "one"
			Data "1" "one"
			Data "1" "one"
			Data "3" "three"
			Complete SELECT 4
			Ready I`},
		{"nothing", "", "EmptyQueryResponse\nReady I"},
		{"only semicolons", " ; ;", "EmptyQueryResponse\nReady I"},
		{"script", "insert; insert;", "Complete INSERT 0 1\nComplete INSERT 0 1\nReady I"},
		{"script stops at error", "insert; fail; insert", `
			Complete INSERT 0 1
			Error ERROR 22012 division by zero detail="the detail" hint="the hint" schema="public" table="t" column="c" constraint="t_check" position=9
			Ready I`},
		{"syntax error runs nothing", "insert; öé; syntax", `
			Error ERROR 42601 syntax error at or near "syntax" position=13
			Ready I`},
		{"binder error", "missing", `
			Error ERROR 42P01 relation "missing" does not exist position=1
			Ready I`},
		{"error after rows", "fail-row", `
			Row id:20/0 name:25/0
			Data "1" "n1"
			Data "2" "n2"
			Data "3" "n3"
			Error ERROR 22012 division by zero
			Ready I`},
		{"internal errors stay inside", "internal", `
			Error ERROR XX000 internal error detail="The server's log has the cause, under session 1."
			Ready I`},
		{"commit error replaces tag", "insert; failcommit", `
			Complete INSERT 0 1
			Error ERROR 40001 could not serialize access
			Ready I`},
		{"notices", "notice hello; warn careful", `
			Notice NOTICE 00000 hello
			Complete NOTICE
			Notice WARNING 01000 careful
			Complete WARN
			Ready I`},
		{"parameters", "set DateStyle German", "Parameter DateStyle=German\nComplete SET\nReady I"},
		{"parameter without value", "add $1 $2", "Error ERROR 42P02 there is no parameter $1\nReady I"},
		{"copy out", "copyout 2", `
			CopyOutResponse
			CopyData "1\tn1\n"
			CopyData "2\tn2\n"
			CopyDone
			Complete COPY 2
			Ready I`},
		{"not UTF-8", "rows \xc3(", `Error ERROR 22021 invalid byte sequence for encoding "UTF8": 0xc3 0x28` + "\nReady I"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFakeBackend()
			addr, _ := serveFake(t, b, Options{})
			c := connect(t, addr)
			expect(t, c.query(tt.sql), tt.want)
			expect(t, c.query("rows 1"), "Row id:20/0 name:25/0\nData \"1\" \"n1\"\nComplete SELECT 1\nReady I")
		})
	}
}

func TestTransactionBlocks(t *testing.T) {
	b := newFakeBackend()
	addr, _ := serveFake(t, b, Options{})
	c := connect(t, addr)
	expect(t, c.query("begin"), "Complete BEGIN\nReady T")
	expect(t, c.query("insert; missing"), `
		Complete INSERT 0 1
		Error ERROR 42P01 relation "missing" does not exist position=9
		Ready E`)
	expect(t, c.query("insert"), `
		Error ERROR 25P02 current transaction is aborted, commands ignored until end of transaction block
		Ready E`)
	expect(t, c.query("commit"), "Complete ROLLBACK\nReady I")
	// An error that only the wire sees fails the block as well.
	expect(t, c.query("begin"), "Complete BEGIN\nReady T")
	expect(t, c.ask(&pgproto3.Bind{PreparedStatement: "nope"}, &pgproto3.Sync{}), `
		Error ERROR 26000 prepared statement "nope" does not exist
		Ready E`)
	expect(t, c.query("rollback"), "Complete ROLLBACK\nReady I")
}

func TestImplicitTransactions(t *testing.T) {
	tests := []struct {
		name string
		msgs []pgproto3.FrontendMessage
		want string
	}{
		{"script", []pgproto3.FrontendMessage{&pgproto3.Query{String: "insert; insert"}}, "insert; insert; end(false)"},
		{"failing script", []pgproto3.FrontendMessage{&pgproto3.Query{String: "insert; fail; insert"}}, "insert; end(true)"},
		{"pipeline", []pgproto3.FrontendMessage{
			&pgproto3.Parse{Query: "insert"}, &pgproto3.Bind{}, &pgproto3.Execute{},
			&pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{},
		}, "insert; insert; end(false)"},
		{"failing pipeline", []pgproto3.FrontendMessage{
			&pgproto3.Parse{Query: "insert"}, &pgproto3.Bind{}, &pgproto3.Execute{},
			&pgproto3.Parse{Query: "missing"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{},
		}, "insert; end(true)"},
		{"bare sync", []pgproto3.FrontendMessage{&pgproto3.Sync{}}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFakeBackend()
			addr, _ := serveFake(t, b, Options{})
			c := connect(t, addr)
			c.ask(tt.msgs...)
			if got := b.take(); got != tt.want {
				t.Errorf("session saw %q, want %q", got, tt.want)
			}
		})
	}
}

func TestExtendedQuery(t *testing.T) {
	type msgs = []pgproto3.FrontendMessage
	sync := &pgproto3.Sync{}
	tests := []struct {
		name string
		msgs msgs
		want string
	}{
		{"whole cycle, mixed formats", msgs{
			&pgproto3.Parse{Name: "s", Query: "rows 1"}, &pgproto3.Describe{ObjectType: 'S', Name: "s"},
			&pgproto3.Bind{PreparedStatement: "s", ResultFormatCodes: []int16{1, 0}},
			&pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, sync,
		}, `
			ParseComplete
			Params []
			Row id:20/0 name:25/0
			BindComplete
			Row id:20/1 name:25/0
			Data "\x00\x00\x00\x00\x00\x00\x00\x01" "n1"
			Complete SELECT 1
			Ready I`},
		{"parameters, text and binary", msgs{
			&pgproto3.Parse{Query: "add $1 $2"}, &pgproto3.Describe{ObjectType: 'S'},
			&pgproto3.Bind{ParameterFormatCodes: []int16{0, 1}, Parameters: [][]byte{[]byte("40"), {0, 0, 0, 2}},
				ResultFormatCodes: []int16{1}},
			&pgproto3.Execute{},
			&pgproto3.Bind{Parameters: [][]byte{[]byte("1"), []byte("-3")}}, &pgproto3.Execute{}, sync,
		}, `
			ParseComplete
			Params [23 23]
			Row sum:23/0
			BindComplete
			Data "\x00\x00\x00*"
			Complete SELECT 1
			BindComplete
			Data "-2"
			Complete SELECT 1
			Ready I`},
		{"parameter of the type asked for, NULL", msgs{
			&pgproto3.Parse{Query: "echo $1", ParameterOIDs: []uint32{20}}, &pgproto3.Describe{ObjectType: 'S'},
			&pgproto3.Bind{Parameters: [][]byte{nil}}, &pgproto3.Execute{}, sync,
		}, "ParseComplete\nParams [20]\nRow echo:20/0\nBindComplete\nData NULL\nComplete SELECT 1\nReady I"},
		{"row limits", msgs{
			&pgproto3.Parse{Query: "rows 5"}, &pgproto3.Bind{}, &pgproto3.Execute{MaxRows: 2},
			&pgproto3.Execute{MaxRows: 2}, &pgproto3.Execute{MaxRows: 2}, &pgproto3.Execute{}, sync,
		}, `
			ParseComplete
			BindComplete
			Data "1" "n1"
			Data "2" "n2"
			PortalSuspended
			Data "3" "n3"
			Data "4" "n4"
			PortalSuspended
			Data "5" NULL
			Complete SELECT 1
			Complete SELECT 0
			Ready I`},
		{"row limit inside a weight", msgs{
			&pgproto3.Parse{Query: "weights"}, &pgproto3.Bind{}, &pgproto3.Execute{MaxRows: 2}, &pgproto3.Execute{MaxRows: 1},
			&pgproto3.Execute{MaxRows: 5}, sync,
		}, `
			ParseComplete
			BindComplete
			Data "1" "one"
			Data "1" "one"
			PortalSuspended
			Data "1" "one"
			PortalSuspended
			Data "3" "three"
			Complete SELECT 1
			Ready I`},
		{"no data", msgs{
			&pgproto3.Parse{Query: "insert"}, &pgproto3.Describe{ObjectType: 'S'}, &pgproto3.Bind{},
			&pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, &pgproto3.Execute{}, sync,
		}, `
			ParseComplete
			Params []
			NoData
			BindComplete
			NoData
			Complete INSERT 0 1
			Error ERROR 55000 portal "" cannot be run
			Ready I`},
		{"empty statement", msgs{
			&pgproto3.Parse{Query: " "}, &pgproto3.Describe{ObjectType: 'S'}, &pgproto3.Bind{},
			&pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, sync,
		}, "ParseComplete\nParams []\nNoData\nBindComplete\nNoData\nEmptyQueryResponse\nReady I"},
		{"nothing after an error until Sync", msgs{
			&pgproto3.Parse{Query: "missing"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Query{String: "insert"}, sync,
		}, "Error ERROR 42P01 relation \"missing\" does not exist position=1\nReady I"},
		{"names", msgs{
			&pgproto3.Parse{Name: "a", Query: "rows 1"}, &pgproto3.Bind{PreparedStatement: "a", DestinationPortal: "p"},
			&pgproto3.Close{ObjectType: 'S', Name: "a"}, &pgproto3.Close{ObjectType: 'S', Name: "never"},
			&pgproto3.Parse{Name: "a", Query: "rows 2"}, &pgproto3.Execute{Portal: "p"},
			&pgproto3.Close{ObjectType: 'P', Name: "p"}, &pgproto3.Execute{Portal: "p"}, sync,
		}, `
			ParseComplete
			BindComplete
			CloseComplete
			CloseComplete
			ParseComplete
			Data "1" "n1"
			Complete SELECT 1
			CloseComplete
			Error ERROR 34000 portal "p" does not exist
			Ready I`},
		{"statement exists", msgs{&pgproto3.Parse{Name: "a", Query: "rows 1"}, &pgproto3.Parse{Name: "a", Query: "rows 1"}, sync},
			"ParseComplete\nError ERROR 42P05 prepared statement \"a\" already exists\nReady I"},
		{"portal exists", msgs{&pgproto3.Parse{Query: "rows 1"}, &pgproto3.Bind{DestinationPortal: "p"},
			&pgproto3.Bind{DestinationPortal: "p"}, sync},
			"ParseComplete\nBindComplete\nError ERROR 42P03 cursor \"p\" already exists\nReady I"},
		{"no unnamed statement", msgs{&pgproto3.Bind{}, sync}, "Error ERROR 26000 unnamed prepared statement does not exist\nReady I"},
		{"two statements", msgs{&pgproto3.Parse{Query: "rows 1; rows 2"}, sync},
			"Error ERROR 42601 cannot insert multiple commands into a prepared statement\nReady I"},
		{"too few parameters", msgs{&pgproto3.Parse{Name: "s", Query: "add $1 $2"},
			&pgproto3.Bind{PreparedStatement: "s", Parameters: [][]byte{[]byte("1")}}, sync},
			"ParseComplete\nError ERROR 08P01 bind message supplies 1 parameters, but prepared statement \"s\" requires 2\nReady I"},
		{"formats do not match parameters", msgs{&pgproto3.Parse{Query: "add $1 $2"},
			&pgproto3.Bind{ParameterFormatCodes: []int16{0, 0, 0}, Parameters: [][]byte{{'1'}, {'1'}}}, sync},
			"ParseComplete\nError ERROR 08P01 bind message has 3 parameter formats but 2 parameters\nReady I"},
		{"formats do not match columns", msgs{&pgproto3.Parse{Query: "rows 1"}, &pgproto3.Bind{ResultFormatCodes: []int16{0, 0, 0}}, sync},
			"ParseComplete\nError ERROR 08P01 bind message has 3 result formats but query has 2 columns\nReady I"},
		{"unknown format", msgs{&pgproto3.Parse{Query: "rows 1"}, &pgproto3.Bind{ResultFormatCodes: []int16{7}}, sync},
			"ParseComplete\nError ERROR 22023 unsupported format code: 7\nReady I"},
		{"parameter does not parse", msgs{&pgproto3.Parse{Query: "add $1 $2"}, &pgproto3.Bind{Parameters: [][]byte{[]byte("x"), []byte("1")}}, sync},
			"ParseComplete\nError ERROR 22P02 invalid input syntax for type integer: \"x\"\nReady I"},
		{"binary parameter of wrong length", msgs{&pgproto3.Parse{Query: "add $1 $2"},
			&pgproto3.Bind{ParameterFormatCodes: []int16{1}, Parameters: [][]byte{{1}, {0, 0, 0, 1}}}, sync},
			"ParseComplete\nError ERROR 08P01 insufficient data left in message\nReady I"},
		{"zero byte in text", msgs{&pgproto3.Parse{Query: "echo $1"}, &pgproto3.Bind{Parameters: [][]byte{{'a', 0}}}, sync},
			"ParseComplete\nError ERROR 22021 invalid byte sequence for encoding \"UTF8\": 0x00\nReady I"},
		{"text not UTF-8, binary", msgs{&pgproto3.Parse{Query: "echo $1"},
			&pgproto3.Bind{ParameterFormatCodes: []int16{1}, Parameters: [][]byte{{0xe2, 0x82}}}, sync},
			"ParseComplete\nError ERROR 22021 invalid byte sequence for encoding \"UTF8\": 0xe2 0x82\nReady I"},
		{"commit fails at Sync", msgs{&pgproto3.Parse{Query: "failcommit"}, &pgproto3.Bind{}, &pgproto3.Execute{}, sync}, `
			ParseComplete
			BindComplete
			Complete FAILCOMMIT
			Error ERROR 40001 could not serialize access
			Ready I`},
		{"function call", msgs{&pgproto3.FunctionCall{Function: 1}},
			"Error ERROR 0A000 function calls by message are not supported hint=\"Call the function in a SELECT.\"\nReady I"},
		{"copy data outside COPY", msgs{&pgproto3.CopyData{Data: []byte("x")}, &pgproto3.CopyDone{}, &pgproto3.CopyFail{}, sync}, "Ready I"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr, _ := serveFake(t, newFakeBackend(), Options{})
			c := connect(t, addr)
			expect(t, c.ask(tt.msgs...), tt.want)
			if got := c.query("rows 0"); !strings.Contains(got, "Complete SELECT 0\nReady I") {
				t.Errorf("afterwards: %s", got)
			}
		})
	}
}

func TestFlushDeliversWithoutSync(t *testing.T) {
	addr, _ := serveFake(t, newFakeBackend(), Options{})
	c := connect(t, addr)
	c.send(&pgproto3.Parse{Query: "rows 1"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Flush{})
	expect(t, c.until("Complete"), "ParseComplete\nBindComplete\nData \"1\" \"n1\"\nComplete SELECT 1")
	expect(t, c.ask(&pgproto3.Sync{}), "Ready I")
}

func TestPortalsEndWithTheirTransaction(t *testing.T) {
	addr, _ := serveFake(t, newFakeBackend(), Options{})
	c := connect(t, addr)
	c.ask(&pgproto3.Parse{Query: "rows 3"}, &pgproto3.Bind{DestinationPortal: "p"}, &pgproto3.Sync{})
	expect(t, c.ask(&pgproto3.Execute{Portal: "p"}, &pgproto3.Sync{}), "Error ERROR 34000 portal \"p\" does not exist\nReady I")
	c.query("begin")
	c.ask(&pgproto3.Parse{Query: "rows 3"}, &pgproto3.Bind{DestinationPortal: "p"}, &pgproto3.Execute{Portal: "p", MaxRows: 1}, &pgproto3.Sync{})
	expect(t, c.ask(&pgproto3.Execute{Portal: "p", MaxRows: 1}, &pgproto3.Sync{}), "Data \"2\" \"n2\"\nPortalSuspended\nReady T")
	c.query("commit")
	expect(t, c.ask(&pgproto3.Execute{Portal: "p"}, &pgproto3.Sync{}), "Error ERROR 34000 portal \"p\" does not exist\nReady I")
}

func TestCopyIn(t *testing.T) {
	data := func(s string) pgproto3.FrontendMessage { return &pgproto3.CopyData{Data: []byte(s)} }
	tests := []struct {
		name    string
		msgs    []pgproto3.FrontendMessage
		want    string
		journal string
	}{
		{"done", []pgproto3.FrontendMessage{&pgproto3.Query{String: "copyin"}, data("1\ta"), data("\n2\tb\n"), &pgproto3.CopyDone{}},
			"CopyInResponse\nComplete COPY 2\nReady I", "end(false)"},
		{"client gives up", []pgproto3.FrontendMessage{&pgproto3.Query{String: "copyin"}, data("1"), &pgproto3.CopyFail{Message: "no more"}},
			"CopyInResponse\nError ERROR 57014 COPY from stdin failed: no more\nReady I", "abort(57014); end(true)"},
		{"bad data", []pgproto3.FrontendMessage{&pgproto3.Query{String: "copyin; insert"}, data("bad"), data("more"), &pgproto3.CopyDone{}},
			"CopyInResponse\nError ERROR 22P04 missing data for column \"b\"\nReady I", "abort(22P04); end(true)"},
		{"extended, with a Sync ahead as libpq sends it", []pgproto3.FrontendMessage{&pgproto3.Parse{Query: "copyin"}, &pgproto3.Bind{},
			&pgproto3.Execute{}, &pgproto3.Sync{}, data("1\n"), &pgproto3.CopyDone{}, &pgproto3.Sync{}},
			"ParseComplete\nBindComplete\nCopyInResponse\nComplete COPY 1\nReady I", "end(false)"},
		{"extended, bad data", []pgproto3.FrontendMessage{&pgproto3.Parse{Query: "copyin"}, &pgproto3.Bind{},
			&pgproto3.Execute{}, &pgproto3.Sync{}, data("bad\n"), data("x"), &pgproto3.CopyDone{}, &pgproto3.Sync{}},
			"ParseComplete\nBindComplete\nCopyInResponse\nError ERROR 22P04 missing data for column \"b\"\nReady I", "abort(22P04); end(true)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newFakeBackend()
			addr, _ := serveFake(t, b, Options{})
			c := connect(t, addr)
			expect(t, c.ask(tt.msgs...), tt.want)
			if got := b.take(); got != tt.journal {
				t.Errorf("session saw %q, want %q", got, tt.journal)
			}
			expect(t, c.query(""), "EmptyQueryResponse\nReady I")
		})
	}
}

func TestLargeMessages(t *testing.T) {
	addr, _ := serveFake(t, newFakeBackend(), Options{})
	c := connect(t, addr)
	big := bytes.Repeat([]byte("é"), 1<<20)
	got := c.ask(&pgproto3.Parse{Query: "echo $1"}, &pgproto3.Bind{Parameters: [][]byte{big}}, &pgproto3.Execute{}, &pgproto3.Sync{})
	if !strings.Contains(got, strings.Repeat("é", 1<<20)) || !strings.HasSuffix(got, "Complete SELECT 1\nReady I\n") {
		t.Errorf("answer of %d bytes", len(got))
	}
	got = c.query("rows 50000")
	if n := strings.Count(got, "Data "); n != 50000 {
		t.Errorf("%d rows", n)
	}
}

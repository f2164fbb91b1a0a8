package mysql

import (
	"testing"

	"github.com/millrace/millrace/connector/mysql/binlog"
)

// TestPointIsStoredAsOfNow: a point that has passed transactions covers them when it is read again, by itself and within a shape.
func TestPointIsStoredAsOfNow(t *testing.T) {
	p, err := parsePoint([]byte(`{"by":"mariadb","gtid":"0-9-23","file":"bl.000001","pos":100,"server":9}`))
	if err != nil {
		t.Fatal(err)
	}
	next := &txn{has: true, maria: binlog.MariaGTID{Server: 9, Number: 24}}
	if p.covers(next, 9) {
		t.Fatal("it covers what comes after it")
	}
	p.pass(next)
	again, err := parsePoint(p.bytes())
	if err != nil {
		t.Fatal(err)
	}
	in, err := parseShape((&shape{Since: p}).bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !again.covers(next, 9) || !in.Since.covers(next, 9) {
		t.Errorf("stored as %s, in a shape as %s", p.bytes(), (&shape{Since: p}).bytes())
	}
}

package mysql

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/sqltypes"
)

// typeCase is a column, and values for it: as SQL, and what they are here.
type typeCase struct {
	decl   string
	values []string // pairs
}

var typeCases = []typeCase{
	{"TINYINT", []string{"-128", "-128", "127", "127", "0", "0"}},
	{"TINYINT UNSIGNED", []string{"255", "255", "0", "0"}},
	{"SMALLINT", []string{"-32768", "-32768", "32767", "32767"}},
	{"SMALLINT UNSIGNED", []string{"65535", "65535"}},
	{"MEDIUMINT", []string{"-8388608", "-8388608", "8388607", "8388607", "-1", "-1"}},
	{"MEDIUMINT UNSIGNED", []string{"16777215", "16777215"}},
	{"INT", []string{"-2147483648", "-2147483648", "2147483647", "2147483647"}},
	{"INT UNSIGNED", []string{"4294967295", "4294967295"}},
	{"INT(5) ZEROFILL", []string{"42", "42"}},
	{"BIGINT", []string{"-9223372036854775808", "-9223372036854775808", "9223372036854775807", "9223372036854775807"}},
	{"BIGINT UNSIGNED", []string{"18446744073709551615", "18446744073709551615", "1", "1"}},
	{"YEAR", []string{"1901", "1901", "2155", "2155", "0", "0", "1970", "1970"}},
	{"BIT(1)", []string{"b'1'", "t", "b'0'", "f"}},
	{"BIT(10)", []string{"b'1000000001'", "513"}},
	{"BIT(64)", []string{"0xFFFFFFFFFFFFFFFF", "18446744073709551615"}},
	{"DECIMAL(10,2)", []string{"-12345678.90", "-12345678.90", "0.01", "0.01", "-0.01", "-0.01", "0", "0.00", "99999999.99", "99999999.99"}},
	{"DECIMAL(65,30)", []string{"1000000001", "1000000001.000000000000000000000000000000",
		"-99999999999999999999999999999999999.999999999999999999999999999999", "-99999999999999999999999999999999999.999999999999999999999999999999",
		"0.000000000000000000000000000001", "0.000000000000000000000000000001"}},
	{"DECIMAL(65,0)", []string{strings.Repeat("9", 65), strings.Repeat("9", 65), "-" + strings.Repeat("1", 64), "-" + strings.Repeat("1", 64)}},
	{"DECIMAL(18,9)", []string{"-123456789.123456789", "-123456789.123456789"}},
	{"DECIMAL(19,10)", []string{"-123456789.1234567891", "-123456789.1234567891", "-0.0000000001", "-0.0000000001"}},
	{"DECIMAL(3,3)", []string{"-0.123", "-0.123"}},
	{"FLOAT", []string{"1.1", "1.1", "16777216", "1.6777216e+07", "3.4028235e38", "3.4028235e+38", "-1e-38", "-1e-38", "123456789", "1.2345679e+08"}},
	{"FLOAT(7,3)", []string{"1234.567", "1234.567"}},
	{"DOUBLE", []string{"0.1", "0.1", "-1.7976931348623157e308", "-1.7976931348623157e+308", "123456789.123456789", "123456789.12345679", "1e15", "1e+15"}},
	{"DOUBLE(10,3)", []string{"1234567.891", "1234567.891"}},
	{"DATE", []string{"'2024-02-29'", "2024-02-29", "'1000-01-01'", "1000-01-01", "'9999-12-31'", "9999-12-31", "'0001-01-01'", "0001-01-01"}},
	{"DATE NULL", []string{"'0000-00-00'", "NULL", "'2024-00-00'", "NULL", "'2024-02-00'", "NULL"}},
	{"DATETIME", []string{"'2024-02-29 23:59:59'", "2024-02-29 23:59:59", "'1000-01-01 00:00:00'", "1000-01-01 00:00:00", "'0000-00-00 00:00:00'", "NULL"}},
	{"DATETIME(1)", []string{"'2024-02-29 23:59:59.9'", "2024-02-29 23:59:59.9"}},
	{"DATETIME(3)", []string{"'2024-02-29 23:59:59.123'", "2024-02-29 23:59:59.123", "'9999-12-31 23:59:59.999'", "9999-12-31 23:59:59.999"}},
	{"DATETIME(6)", []string{"'2024-02-29 23:59:59.123456'", "2024-02-29 23:59:59.123456", "'1969-12-31 23:59:59.000001'", "1969-12-31 23:59:59.000001"}},
	{"TIMESTAMP NULL", []string{"'1970-01-01 00:00:01'", "1970-01-01 00:00:01+00", "'2038-01-19 03:14:07'", "2038-01-19 03:14:07+00", "'0000-00-00 00:00:00'", "NULL", "NULL", "NULL"}},
	{"TIMESTAMP(2) NULL", []string{"'2024-07-01 12:00:00.25'", "2024-07-01 12:00:00.25+00"}},
	{"TIMESTAMP(6) NULL", []string{"'2024-07-01 12:00:00.000001'", "2024-07-01 12:00:00.000001+00"}},
	{"TIME", []string{"'00:00:00'", "00:00:00", "'23:59:59'", "23:59:59", "'24:00:00'", "24:00:00"}},
	{"TIME(4)", []string{"'12:34:56.7891'", "12:34:56.7891"}},
	{"TIME(6)", []string{"'12:34:56.789012'", "12:34:56.789012"}},
	{"CHAR(10)", []string{"'abc'", "abc", "''", "", "'tail  '", "tail", "'größe€😀'", "größe€😀"}},
	{"VARCHAR(20)", []string{"'abc  '", "abc  ", "'日本語'", "日本語"}},
	{"VARCHAR(300)", []string{"REPEAT('x', 300)", strings.Repeat("x", 300), "'a'", "a"}},
	{"VARCHAR(20) CHARACTER SET latin1", []string{"'größe€'", "größe€", "CHAR(0x81, 0x8d, 0xff USING latin1)", "\u0081\u008dÿ"}},
	{"CHAR(255) CHARACTER SET utf8mb4", []string{"REPEAT('€', 255)", strings.Repeat("€", 255)}},
	{"VARCHAR(20) CHARACTER SET utf8mb3", []string{"'größe€'", "größe€"}},
	{"VARCHAR(20) CHARACTER SET gbk", []string{"'中文a€'", "中文a?", "'汉字'", "汉字"}},
	{"VARCHAR(20) CHARACTER SET ucs2", []string{"'中文aé'", "中文aé"}},
	{"VARCHAR(20) CHARACTER SET utf16", []string{"'中文a😀'", "中文a😀"}},
	{"VARCHAR(20) CHARACTER SET utf16le", []string{"'中文a😀'", "中文a😀"}},
	{"VARCHAR(20) CHARACTER SET utf32", []string{"'中文a😀'", "中文a😀"}},
	{"VARCHAR(20) CHARACTER SET sjis", []string{"'日本語カナ'", "日本語カナ"}},
	{"VARCHAR(20) CHARACTER SET ujis", []string{"'日本語カナ'", "日本語カナ"}},
	{"VARCHAR(20) CHARACTER SET euckr", []string{"'한국어'", "한국어"}},
	{"VARCHAR(20) CHARACTER SET big5", []string{"'中文'", "中文"}},
	{"VARCHAR(20) CHARACTER SET cp1251", []string{"'Привет'", "Привет"}},
	{"VARCHAR(20) CHARACTER SET koi8r", []string{"'Привет'", "Привет"}},
	{"VARCHAR(20) CHARACTER SET greek", []string{"'Ελλάδα'", "Ελλάδα"}},
	{"VARCHAR(20) CHARACTER SET dec8", []string{"'größe'", "größe"}},
	{"TINYTEXT", []string{"'tiny'", "tiny"}},
	{"TEXT", []string{"REPEAT('é', 5000)", strings.Repeat("é", 5000)}},
	{"MEDIUMTEXT", []string{"REPEAT('y', 70000)", strings.Repeat("y", 70000)}},
	{"LONGTEXT", []string{"'long'", "long"}},
	{"VARCHAR(200) COMPRESSED", []string{"REPEAT('z', 200)", strings.Repeat("z", 200), "'short'", "short", "''", ""}},
	{"TEXT COMPRESSED", []string{"REPEAT('q', 20000)", strings.Repeat("q", 20000)}},
	{"BLOB COMPRESSED", []string{"REPEAT('q', 300)", `\x` + strings.Repeat("71", 300)}},
	{"BINARY(4)", []string{"X'01000000'", `\x01000000`, "X'00'", `\x00000000`, "'a '", `\x61200000`}},
	{"VARBINARY(10)", []string{"X'010000'", `\x010000`, "''", `\x`}},
	{"BLOB", []string{"X'00FF00'", `\x00ff00`}},
	{"LONGBLOB", []string{"X'00FF00'", `\x00ff00`}},
	{"ENUM('a','b''c','größe')", []string{"'a'", "a", "'b''c'", "b'c", "3", "größe", "0", ""}},
	{"ENUM(" + manyLabels(300) + ")", []string{"'l299'", "l299", "'l0'", "l0"}},
	{"SET('x','y','z')", []string{"'x,z'", "x,z", "''", "", "'y'", "y"}},
	{"SET(" + manyLabels(64) + ")", []string{"'l63,l0'", "l0,l63"}},
	{"JSON", []string{`'{"b": [1, 2.50, null], "a": "größe"}'`, `{"a": "größe", "b": [1, 2.50, null]}`, "'true'", "true"}},
	{"GEOMETRY", []string{"ST_GeomFromText('POINT(1 2)')", `\x000000000101000000000000000000f03f0000000000000040`}},
	{"UUID", []string{"'123e4567-e89b-12d3-a456-426655440000'", "123e4567-e89b-12d3-a456-426655440000",
		"'01890dd5-ea3f-7ab8-89ab-cdef01234500'", "01890dd5-ea3f-7ab8-89ab-cdef01234500", "'00000000-0000-0000-0000-000000000000'", "00000000-0000-0000-0000-000000000000"}},
	{"INET6", []string{"'::1'", "::1", "'::ffff:1.2.3.4'", "::ffff:1.2.3.4", "'::1.2.3.4'", "::1.2.3.4", "'1:0:2:3:4:5:6:7'", "1::2:3:4:5:6:7",
		"'fe80::'", "fe80::", "'::'", "::", "'1:0:0:2::'", "1:0:0:2::"}},
	{"INET4", []string{"'1.2.3.0'", "1.2.3.0", "'0.0.0.0'", "0.0.0.0"}},
	{"INT AS (id * 2) VIRTUAL", nil},
	{"INT AS (id * 3) STORED", nil},
	{"INT INVISIBLE", []string{"7", "7"}},
}

func manyLabels(n int) string {
	var l []string
	for i := range n {
		l = append(l, fmt.Sprintf("'l%d'", i))
	}
	return strings.Join(l, ",")
}

// TestTypes compares what the snapshot and the log make of values with what they should be, with and without names in the log, and compressed.
func TestTypes(t *testing.T) {
	s := server(t)
	for name, settings := range map[string]string{
		"plain":      "SET GLOBAL binlog_row_metadata = NO_LOG, log_bin_compress = 0",
		"full":       "SET GLOBAL binlog_row_metadata = FULL, log_bin_compress = 0",
		"minimal":    "SET GLOBAL binlog_row_metadata = MINIMAL, log_bin_compress = 0",
		"compressed": "SET GLOBAL binlog_row_metadata = FULL, log_bin_compress = 1, log_bin_compress_min_len = 10",
	} {
		t.Run(name, func(t *testing.T) {
			s.Exec(t, settings, "FLUSH LOGS")
			defer s.Exec(t, "SET GLOBAL binlog_row_metadata = NO_LOG, log_bin_compress = 0")
			testTypes(t)
		})
	}
}

func testTypes(t *testing.T) {
	s := server(t)
	db := database(t, s)
	columns := []string{"id INT PRIMARY KEY"}
	width := 0
	for i, c := range typeCases {
		columns = append(columns, fmt.Sprintf("c%d %s", i, c.decl))
		width = max(width, len(c.values)/2)
	}
	s.Exec(t, "CREATE TABLE "+db+".t ("+strings.Join(columns, ", ")+")")
	var want []string
	var insert [2][]string
	for half := range 2 {
		for k := range width {
			id := half*100 + k
			names, values, row := []string{"id"}, []string{fmt.Sprint(id)}, []string{fmt.Sprint(id)}
			for i, c := range typeCases {
				switch {
				case strings.Contains(c.decl, " AS ("):
					row = append(row, fmt.Sprint(id*(2+strings.Count(c.decl, "STORED"))))
				case 2*k < len(c.values):
					names, values = append(names, fmt.Sprintf("c%d", i)), append(values, c.values[2*k])
					row = append(row, c.values[2*k+1])
				default:
					row = append(row, "NULL")
				}
			}
			insert[half] = append(insert[half], fmt.Sprintf("SET NAMES utf8mb4, sql_mode = 'NO_BACKSLASH_ESCAPES', time_zone = '+00:00'; INSERT INTO %s.t (%s) VALUES (%s)",
				db, strings.Join(names, ", "), strings.Join(values, ", ")))
			want = append(want, strings.Join(row, "|"))
		}
	}
	s.Exec(t, insert[0]...)
	m := newMirror(t, specFor(s, db), db+".t")
	m.open()
	m.live()
	s.Exec(t, insert[1]...)
	m.wait(0, 2*width)
	for _, row := range want {
		id, _, _ := strings.Cut(row, "|")
		got := strings.Split(m.rows[1][id], "|")
		for i, w := range strings.Split(row, "|") {
			if i >= len(got) {
				t.Errorf("row %s: no column %d: %q", id, i, m.rows[1][id])
				break
			}
			if got[i] != w {
				t.Errorf("row %s, %s: got %q, want %q", id, columns[i], got[i], w)
			}
		}
	}
}

// TestDeclared keeps values in columns of types that were declared, in the snapshot and from the log alike; two tables here follow one there.
func TestDeclared(t *testing.T) {
	s := server(t)
	db := database(t, s)
	s.Exec(t, "USE "+db+"; CREATE TABLE t (id INT PRIMARY KEY, a TINYINT(1), b TIME(3), c TIME, d DOUBLE, e DATETIME, f VARBINARY(5), g TEXT, h BIT(3), i TIMESTAMP NULL)")
	insert := func(id int) {
		s.Exec(t, fmt.Sprintf("USE %s; SET time_zone = '+00:00'; INSERT INTO t VALUES (%d, 1, '-25:00:00.5', '30:00:00', 1.5, '2024-01-02 03:04:05', X'00ff', '{\"a\": 1}', b'101', '2024-01-02 03:04:05')", db, id))
	}
	insert(1)
	m := newMirror(t, specFor(s, db), db+".t", db+".t")
	types := []sqltypes.Type{sqltypes.Bool, sqltypes.IntervalT, sqltypes.Varchar, sqltypes.Text, sqltypes.Varchar, sqltypes.Text, sqltypes.JSONB, sqltypes.Int8, sqltypes.Timestamp}
	f, err := Source{}.DescribeTable(t.Context(), m.spec, db+".t", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, typ := range types {
		if !f.Accepts(i+1, typ) {
			t.Errorf("column %d does not accept %s", i+1, typ)
		}
		for n := range m.spec.Tables {
			m.spec.Tables[n].Columns[i+1].Type = typ
		}
	}
	if f.Accepts(0, sqltypes.Date) || f.Accepts(5, sqltypes.Int8) {
		t.Error("a column accepts what cannot be")
	}
	m.open()
	const row = `|t|-25:00:00.5|30:00:00|1.5|2024-01-02 03:04:05|\x00ff|{"a": 1}|5|2024-01-02 03:04:05`
	m.is(0, "1"+row)
	insert(2)
	m.is(0, "1"+row, "2"+row)
	m.is(1, "1"+row, "2"+row)
}

package pgdiff

import (
	"fmt"
	"strings"
)

// Templates of to_char, to_number, to_timestamp and to_date, made of their patterns.

// numPieces are what a template of a number is made of; digits come more often than the rest.
var numPieces = []string{"9", "9", "9", "9", "0", "0", "99", "999", "9999999999", "000", ".", "D", ",", "G", "S", "MI", "PL", "SG", "PR", "TH", "th", "V", "FM", "B", "L", "RN", "rn", "EEEE", " ", "-", "x", `"a b"`, `\"`, `"`, "é", "C", "fm", "mi", "pr"}

// numShapes are templates as people write them.
var numShapes = []string{"999", "9990", "FM999.99", "9,999.99", "FM9,999,999.00", "0000.0", "S999", "999S", "999MI", "MI999", "PL999", "SG999", "999PR", "FM999PR", "999TH", "FM999th", "9V99", "99V9", "9.9EEEE", "9.999EEEE", "FMRN", "RN", "rn", "L999.99", "999D99S", "B999", "FM0999", "099.9", "FM90.99",
	"9 9 9", "9,9,9", ".99", "0.99", "FM.99", "FM9.", "9.", "S.9", "999.990", "FM999.990", "9G999D99", "SFM999", "FMS999.9", "FM9.9PR", "FM0.0MI", "99.99SG", "PL99.9", "99PL", "9999999999999999999", "0", "9", "FM9", "FM0"}

// datePieces are what a template of a time is made of.
var datePieces = []string{"HH", "HH12", "HH24", "MI", "SS", "MS", "US", "FF1", "FF3", "FF6", "SSSS", "SSSSS", "AM", "am", "PM", "P.M.", "a.m.", "Y,YYY", "YYYY", "YYY", "YY", "Y", "IYYY", "IYY", "IY", "I", "BC", "ad", "A.D.", "b.c.", "MONTH", "Month", "month", "MON", "Mon", "mon", "MM", "DAY", "Day", "day", "DY", "Dy", "dy",
	"DDD", "IDDD", "DD", "D", "ID", "W", "WW", "IW", "CC", "J", "Q", "RM", "rm", "TZ", "tz", "TZH", "TZM", "OF", "TH", "th", "FM", "FX", "TM", "SP", " ", "-", "/", ":", ".", ",", "T", `"x"`, `"quoted: "`, `\"`, "  ", "at", "y", "hh24", "yyyy", "mi", "É"}

var dateShapes = []string{"YYYY-MM-DD", "YYYY-MM-DD HH24:MI:SS", "YYYY-MM-DD HH24:MI:SS.US", "DD Mon YYYY", "FMDay, FMDD FMMonth YYYY", "Day Month", "HH12:MI:SS AM", "HH:MI am", "YYYYMMDD", "YYYYMMDDHH24MISS", "IYYY-IW-ID", "IYYY-IDDD", "YYYY-DDD", "J", "MM/DD/YY", "DDth Month YYYY", "FMDDth", "CC", "CCth", "Q", "RM", "TZH:TZM", "YYYY-MM-DD TZ", "OF", "SSSS",
	"Y,YYY", "YYYY BC", "YYYY WW D", "YYYY W", "FXYYYY-MM-DD", "FX YYYY MM", "YYYY MON DD", `YYYY"year"`, "MS US", "FF3", "HH24:MI:SS.FF4", "YY-MM", "Y", "DY", "TMMonth", "TMDay", "HH24 h MI m", "FMYYYY-FMMM-FMDD", "MI:SS", "ID", "YYYY-MM", "YYY", "I", "DD.MM.YYYY", "MonDDYYYY", "DDMonYY"}

// numTexts and dateTexts are what to_number and to_timestamp read.
var numTexts = []string{"", " ", "12", "-12", "+12", "12-", "12+", "<12>", "1,234.56", "$12.34", " 12 ", "1 2", "0.5", ".5", "5.", "1.2.3", "abc", "12abc", "a12", "-.5", "1e5", "12th", "12345678901234567890", "-1,234", "1,23", "0012", "00.0", "1-2", "- 12", "+-1", "é12", "12.345", "<1.5>", "1234", "123456"}

var dateTexts = []string{"", " ", "2024-02-29", "2024-02-30", "20240229", "2024 Feb 29", "29 Feb 2024", "Thursday, 29 February 2024", "02/29/24", "2024-060", "2024-09-4", "2024-W09-4", "12:34:56", "12:34:56 PM", "00:30 am", "13:00 PM", "2024-02-29 12:34:56.789", "2024-02-29T12:34:56Z", "2024-02-29 12:34:56 +05:30", "99-1-1", "1-2-3", "44 BC", "0044-03-15 BC", "2451545", "2,024", "12,345", "XII", "ii",
	"feb", "FEBRUARY", "Febr", "2024", "24", "024", "4", "-2024-01-01", "2024--1", " 2024  02 29", "2024/02/29", "2024.02.29", "2024x02x29", "86399", "86400", "123456", "5th", "29th Feb", "21", "24:00:00", "23:59:60", "2024-13-01", "0000-01-01", "99999-01-01", "20240229123456", "2024-02-29 25:00", "1999-12-31 é", "A.D. 2024", "p.m. 3", "3 p.m.", "-5", "+05", "2024-2-9", "24-2-9", "2024 366", "2023 366", "2024 53 1", "9999-12-31"}

// template joins a few pieces, or takes a shape as it is or with a piece put into it.
func (g *Exprs) template(pieces, shapes []string) string {
	switch n := g.IntN(10); {
	case n < 3:
		return pick(g.Rand, shapes)
	case n < 5:
		s := pick(g.Rand, shapes)
		at := g.IntN(len(s) + 1)
		return s[:at] + pick(g.Rand, pieces) + s[at:]
	}
	var b strings.Builder
	for range 1 + g.IntN(6) {
		b.WriteString(pick(g.Rand, pieces))
	}
	return b.String()
}

// Format returns a call of to_char, to_number, to_timestamp or to_date.
func (g *Exprs) Format() Statement {
	var value, template, name string
	switch g.IntN(6) {
	case 0, 1:
		typ := pick(g.Rand, []string{"int4", "int8", "numeric", "float4", "float8"})
		value, name = quote(pick(g.Rand, edges[typ]))+"::"+typ, "to_char"
		if g.chance(50) {
			value = fmt.Sprintf("(%d * 0.01)::%s", g.IntN(2000000)-1000000, typ)
			if g.chance(50) {
				value = fmt.Sprintf("(%d)::%s", g.IntN(20000)-10000, typ)
			}
		}
		template = g.template(numPieces, numShapes)
	case 2:
		typ := pick(g.Rand, []string{"timestamp", "timestamptz", "interval"})
		value, name = quote(pick(g.Rand, edges[typ]))+"::"+typ, "to_char"
		template = g.template(datePieces, dateShapes)
	case 3:
		value, template, name = quote(pick(g.Rand, numTexts)), g.template(numPieces, numShapes), "to_number"
	default:
		value, template, name = quote(pick(g.Rand, dateTexts)), g.template(datePieces, dateShapes), pick(g.Rand, []string{"to_timestamp", "to_date"})
		if g.chance(40) { // what to_char makes of a time is read as it was
			value = "to_char(" + quote(pick(g.Rand, edges["timestamp"])) + "::timestamp, " + quote(template) + ")"
		}
	}
	return Statement{Of: "format by " + name, SQL: fmt.Sprintf("SELECT %s(%s, %s)", name, value, quote(template))}
}

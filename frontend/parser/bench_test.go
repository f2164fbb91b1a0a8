package parser

import "testing"

var benchQueries = map[string]string{
	"point": "SELECT a, b FROM t WHERE id = 42",
	"query": "SELECT b.auction, count(*) AS n, max(b.price) FILTER (WHERE b.price > 10) FROM TUMBLE(bid, date_time, INTERVAL '10 seconds') AS b " +
		"JOIN auction a ON a.id = b.auction AND a.category IN (1, 2, 3) WHERE b.extra LIKE 'x%' OR NOT b.channel = 'y' " +
		"GROUP BY b.auction, window_start HAVING count(*) >= 2 ORDER BY n DESC LIMIT 10",
	"create": "CREATE SOURCE bid (auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, date_time TIMESTAMP, " +
		"extra VARCHAR, WATERMARK FOR date_time AS date_time - INTERVAL '4 seconds') WITH (connector = 'nexmark', nexmark.table.type = 'Bid')",
}

func BenchmarkParse(b *testing.B) {
	for name, sql := range benchQueries {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(sql); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFormat(b *testing.B) {
	s, err := ParseOne(benchQueries["query"])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		Format(s)
	}
}

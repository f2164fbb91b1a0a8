package catalog
import ("testing";"fmt")
func TestZZ(t *testing.T){ f:=open(t)
qs:= statements(t,"testdata/drivers/tools.sql")
qs=append(qs,
"SELECT c.oid, d.description FROM pg_class c LEFT JOIN pg_description d ON d.objoid = c.oid AND d.objsubid = 0 AND d.classoid = 1259 WHERE c.relnamespace = 20000",
"SELECT c.oid, d.description FROM pg_class c LEFT JOIN pg_description d ON d.objoid = c.oid AND d.objsubid = 0 WHERE c.relnamespace = 20000",
"SELECT c.oid, d.description FROM pg_class c LEFT JOIN pg_description d ON d.objoid = c.oid",
"SELECT c.oid, d.description FROM pg_class c  JOIN pg_description d ON d.objoid = c.oid and d.objsubid=0",
)
for _,q:=range qs{ func(){ defer func(){ if e:=recover();e!=nil {fmt.Println("PANIC",e,q)}}(); r,err:=f.query(q); fmt.Println(len(r),err)}()}
}

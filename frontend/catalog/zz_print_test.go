package catalog
import ("testing";"path/filepath";"fmt")
func TestPrint(t *testing.T){ files,_:=filepath.Glob("testdata/psql/*.sql"); f:=open(t)
for _,p:=range files { fmt.Println("=====",filepath.Base(p)); for _,q:=range statements(t,p){ r,err:=f.query(q); if err!=nil {fmt.Println(err)}; fmt.Println("--",len(r)); if len(r)>12 {r=r[:12]}; fmt.Println(join(r))}}}

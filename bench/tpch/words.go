package tpch

import "strings"

// The lists of the specification's section 4.2.2.13 and 4.2.3.
var (
	regions = []string{"AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"}

	nations = []struct {
		name   string
		region int
	}{
		{"ALGERIA", 0}, {"ARGENTINA", 1}, {"BRAZIL", 1}, {"CANADA", 1}, {"EGYPT", 4}, {"ETHIOPIA", 0}, {"FRANCE", 3},
		{"GERMANY", 3}, {"INDIA", 2}, {"INDONESIA", 2}, {"IRAN", 4}, {"IRAQ", 4}, {"JAPAN", 2}, {"JORDAN", 4}, {"KENYA", 0},
		{"MOROCCO", 0}, {"MOZAMBIQUE", 0}, {"PERU", 1}, {"CHINA", 2}, {"ROMANIA", 3}, {"SAUDI ARABIA", 4}, {"VIETNAM", 2},
		{"RUSSIA", 3}, {"UNITED KINGDOM", 3}, {"UNITED STATES", 1},
	}

	colors = strings.Fields(`almond antique aquamarine azure beige bisque black blanched blue blush brown burlywood burnished
		chartreuse chiffon chocolate coral cornflower cornsilk cream cyan dark deep dim dodger drab firebrick floral forest frosted
		gainsboro ghost goldenrod green grey honeydew hot indian ivory khaki lace lavender lawn lemon light lime linen magenta maroon
		medium metallic midnight mint misty moccasin navajo navy olive orange orchid pale papaya peach peru pink plum powder puff
		purple red rose rosy royal saddle salmon sandy seashell sienna sky slate smoke snow spring steel tan thistle tomato turquoise
		violet wheat white yellow`)

	types1 = strings.Fields("STANDARD SMALL MEDIUM LARGE ECONOMY PROMO")
	types2 = strings.Fields("ANODIZED BURNISHED PLATED POLISHED BRUSHED")
	types3 = strings.Fields("TIN NICKEL BRASS STEEL COPPER")

	containers1 = strings.Fields("SM LG MED JUMBO WRAP")
	containers2 = strings.Fields("CASE BOX BAG JAR PKG PACK CAN DRUM")

	segments   = strings.Fields("AUTOMOBILE BUILDING FURNITURE MACHINERY HOUSEHOLD")
	priorities = []string{"1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECIFIED", "5-LOW"}
	instructs  = []string{"DELIVER IN PERSON", "COLLECT COD", "NONE", "TAKE BACK RETURN"}
	modes      = []string{"REG AIR", "AIR", "RAIL", "SHIP", "TRUCK", "MAIL", "FOB"}
)

// The vocabulary of comments, section 4.2.2.14.
var (
	nouns = strings.Split("foxes,ideas,theodolites,pinto beans,instructions,dependencies,excuses,platelets,asymptotes,courts,dolphins,"+
		"multipliers,sauternes,warthogs,frets,dinos,attainments,somas,Tiresias,patterns,forges,braids,hockey players,frays,warhorses,"+
		"dugouts,notornis,epitaphs,pearls,tithes,waters,orbits,gifts,sheaves,depths,sentiments,decoys,realms,pains,grouches,escapades,"+
		"packages,requests,accounts,deposits", ",")
	verbs = strings.Fields(`sleep wake are cajole haggle nag use boost affix detect integrate maintain nod was lose sublate solve thrash
		promise engage hinder print x-ray breach eat grow impress mold poach serve run dazzle snooze doze unwind kindle play hang believe doubt`)
	adjectives = strings.Fields(`furious sly careful blithe quick fluffy slow quiet ruthless thin close dogged daring brave stealthy
		permanent enticing idle busy regular final ironic even bold silent special pending unusual express`)
	adverbs = strings.Fields(`sometimes always never furiously slyly carefully blithely quickly fluffily slowly quietly ruthlessly thinly
		closely doggedly daringly bravely stealthily permanently enticingly idly busily regularly finally ironically evenly boldly silently`)
	prepositions = strings.Split("about,above,according to,across,after,against,along,alongside of,among,around,at,atop,before,behind,"+
		"beneath,beside,besides,between,beyond,by,despite,during,except,for,from,in place of,inside,instead of,into,near,of,on,outside,"+
		"over,past,since,through,throughout,to,toward,under,until,up,upon,without,with,within", ",")
	auxiliaries = strings.Split("do,may,might,shall,will,would,can,could,should,ought to,must,will have to,shall have to,could have to,"+
		"should have to,must have to,need to,try to", ",")
	terminators = []string{".", ";", ":", "?", "!", "--"}
)

// textPool is the length of the text that comments are cut out of.
const textPool = 4 << 20

// makeText writes sentences after the specification's grammar.
func makeText(seed uint64) []byte {
	r := newRand(seed, 0, 0)
	b := make([]byte, 0, textPool+200)
	word := func(list []string) { b = append(b, list[r.below(len(list))]...) }
	nounPhrase := func() {
		switch r.below(4) {
		case 1:
			word(adjectives)
			b = append(b, ' ')
		case 2:
			word(adjectives)
			b = append(b, ", "...)
			word(adjectives)
			b = append(b, ' ')
		case 3:
			word(adverbs)
			b = append(b, ' ')
			word(adjectives)
			b = append(b, ' ')
		}
		word(nouns)
	}
	verbPhrase := func() {
		k := r.below(4)
		if k == 1 || k == 3 {
			word(auxiliaries)
			b = append(b, ' ')
		}
		word(verbs)
		if k >= 2 {
			b = append(b, ' ')
			word(adverbs)
		}
	}
	prepPhrase := func() {
		word(prepositions)
		b = append(b, " the "...)
		nounPhrase()
	}
	for len(b) < textPool {
		k := r.below(5)
		nounPhrase()
		b = append(b, ' ')
		if k == 2 || k == 4 {
			prepPhrase()
			b = append(b, ' ')
		}
		verbPhrase()
		switch k {
		case 1, 4:
			b = append(b, ' ')
			prepPhrase()
		case 3:
			b = append(b, ' ')
			nounPhrase()
		}
		word(terminators)
		b = append(b, ' ')
	}
	return b[:textPool]
}

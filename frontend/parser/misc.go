package parser

import "strconv"

func (p *parser) flush() Stmt {
	p.advance()
	return &FlushStmt{}
}

func (p *parser) wait() Stmt {
	p.advance()
	return &WaitStmt{}
}

func (p *parser) recoverCluster() Stmt {
	p.advance()
	return &RecoverStmt{}
}

func (p *parser) checkpoint() Stmt {
	p.advance()
	return &CheckpointStmt{}
}

func (p *parser) verify() Stmt {
	p.expect("verify", "materialized", "view")
	return &VerifyStmt{Name: p.qualifiedName()}
}

// cancelJobs parses CANCEL JOBS 1, 2. The ids may be quoted.
func (p *parser) cancelJobs() Stmt {
	s := &CancelJobsStmt{}
	p.advance()
	if p.takeAny("jobs", "job") == "" {
		p.fail()
	}
	p.list(func() { s.IDs = append(s.IDs, p.jobID()) })
	return s
}

func (p *parser) jobID() string {
	if p.cur().kind == tokInt {
		return strconv.Itoa(p.intLit())
	}
	return p.stringLit()
}

func (p *parser) kill() Stmt {
	p.advance()
	return &KillStmt{ID: p.jobID()}
}

func (p *parser) use() Stmt {
	p.advance()
	return &UseStmt{Database: p.colID()}
}

// analyze parses ANALYZE [(options)|VERBOSE] [tables].
func (p *parser) analyze() Stmt {
	s := &AnalyzeStmt{}
	p.advance()
	if p.isPunct("(") {
		s.Options = p.explainOptions()
	} else if p.is("verbose") {
		s.Options = []Option{{Loc: p.loc(), Name: "verbose"}}
		p.advance()
	}
	s.Targets = p.analyzeTargets()
	return s
}

func (p *parser) analyzeTargets() []AnalyzeTarget {
	if p.cur().kind == tokEOF || p.isPunct(";") {
		return nil
	}
	var list []AnalyzeTarget
	p.list(func() { list = append(list, AnalyzeTarget{p.relation().Name, p.optColumnList()}) })
	return list
}

// vacuum parses VACUUM [(options)|FULL FREEZE VERBOSE ANALYZE] [tables].
func (p *parser) vacuum() Stmt {
	s := &VacuumStmt{}
	p.advance()
	if p.isPunct("(") {
		s.Options = p.explainOptions()
	} else {
		for _, word := range []string{"full", "freeze", "verbose", "analyze"} {
			loc := p.loc()
			if p.take(word) || word == "analyze" && p.take("analyse") {
				s.Options = append(s.Options, Option{Loc: loc, Name: word})
			}
		}
	}
	s.Targets = p.analyzeTargets()
	return s
}

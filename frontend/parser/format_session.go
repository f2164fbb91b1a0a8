package parser

import "strings"

// sessionStmt writes the statements about the session and the server.
func (f *formatter) sessionStmt(s Stmt) {
	switch s := s.(type) {
	case *TransactionStmt:
		f.transaction(s)
	case *SetStmt:
		f.set(s)
	case *ResetStmt:
		f.add("RESET ")
		if s.Name == "" {
			f.add("ALL")
		} else {
			f.settingName(s.Name)
		}
	case *ShowStmt:
		f.show(s)
	case *DescribeStmt:
		f.add("DESCRIBE ")
		f.addIf(s.Fragments, "FRAGMENTS ")
		f.name(s.Relation)
	case *FetchStmt:
		f.fetch(s)
	case *SubscribeStmt:
		f.subscribe(s)
	case *ExecuteStmt:
		f.add("EXECUTE ")
		f.ident(s.Name)
		f.mods(s.Args)
	case *LockStmt:
		f.add("LOCK TABLE ")
		f.names(s.Tables)
		f.add(" IN ", s.Mode, " MODE")
		f.addIf(s.NoWait, " NOWAIT")
	case *AnalyzeStmt:
		f.maintenance("ANALYZE", s.Options, s.Targets)
	case *VacuumStmt:
		f.maintenance("VACUUM", s.Options, s.Targets)
	default:
		f.wordStmt(s)
	}
}

func (f *formatter) subscribe(s *SubscribeStmt) {
	f.add("SUBSCRIBE TO ")
	if s.Query != nil {
		f.add("(")
		f.query(s.Query)
		f.add(")")
	} else {
		f.name(s.Relation)
	}
	if s.UpsertKey != nil {
		f.add(" ENVELOPE UPSERT (KEY (")
		f.commas(len(s.UpsertKey), func(i int) { f.ident(s.UpsertKey[i].Name) })
		f.add("))")
	}
	f.withOptions(s.Options)
	f.where(" AS OF ", s.AsOf)
	f.where(" UP TO ", s.UpTo)
}

// wordStmt writes the statements that are a few words and at most a name.
func (f *formatter) wordStmt(s Stmt) {
	switch s := s.(type) {
	case *DeallocateStmt:
		f.wordOrAll("DEALLOCATE ", s.Name, "ALL")
	case *CloseStmt:
		f.wordOrAll("CLOSE ", s.Name, "ALL")
	case *UnlistenStmt:
		f.wordOrAll("UNLISTEN ", s.Channel, "*")
	case *DoStmt:
		f.add("DO ")
		f.string(s.Body)
		if s.Language != "" {
			f.add(" LANGUAGE ")
			f.ident(s.Language)
		}
	case *ListenStmt:
		f.wordOrAll("LISTEN ", s.Channel, "")
	case *NotifyStmt:
		f.wordOrAll("NOTIFY ", s.Channel, "")
		if s.Payload != "" {
			f.add(", ")
			f.string(s.Payload)
		}
	case *UseStmt:
		f.wordOrAll("USE ", s.Database.Name, "")
	case *VerifyStmt:
		f.add("VERIFY MATERIALIZED VIEW ")
		f.name(s.Name)
	case *CancelJobsStmt:
		f.add("CANCEL JOBS ")
		f.commas(len(s.IDs), func(i int) { f.string(s.IDs[i]) })
	case *KillStmt:
		f.add("KILL ")
		f.string(s.ID)
	case *DiscardStmt:
		f.add("DISCARD ", s.What)
	case *FlushStmt:
		f.add("FLUSH")
	case *WaitStmt:
		f.add("WAIT")
	case *RecoverStmt:
		f.add("RECOVER")
	case *CheckpointStmt:
		f.add("CHECKPOINT")
	}
}

// wordOrAll writes a name, or what stands for all of them.
func (f *formatter) wordOrAll(word, name, all string) {
	f.add(word)
	if name == "" {
		f.add(all)
		return
	}
	f.ident(name)
}

func (f *formatter) transaction(s *TransactionStmt) {
	switch s.Kind {
	case TxnBegin:
		f.add("BEGIN")
	case TxnCommit:
		f.add("COMMIT")
	case TxnRollback:
		f.add("ROLLBACK")
	case TxnSet:
		f.add("SET TRANSACTION")
	case TxnSetSession:
		f.add("SET SESSION CHARACTERISTICS AS TRANSACTION")
	default:
		f.namedTransaction(s)
		return
	}
	f.addIf(s.Chain, " AND CHAIN")
	f.addIf(s.Modes.Isolation != "", " ISOLATION LEVEL "+s.Modes.Isolation)
	if s.Modes.ReadOnly != nil {
		if *s.Modes.ReadOnly {
			f.add(" READ ONLY")
		} else {
			f.add(" READ WRITE")
		}
	}
	if s.Modes.Deferrable != nil {
		f.add(" ", not(!*s.Modes.Deferrable), "DEFERRABLE")
	}
}

var txnWords = map[TxnKind]string{
	TxnSavepoint: "SAVEPOINT ", TxnRelease: "RELEASE SAVEPOINT ", TxnRollbackTo: "ROLLBACK TO SAVEPOINT ",
	TxnPrepare: "PREPARE TRANSACTION ", TxnCommitPrepared: "COMMIT PREPARED ",
	TxnRollbackPrepared: "ROLLBACK PREPARED ", TxnSetSnapshot: "SET TRANSACTION SNAPSHOT ",
}

func (f *formatter) namedTransaction(s *TransactionStmt) {
	f.add(txnWords[s.Kind])
	if s.Kind == TxnSavepoint || s.Kind == TxnRelease || s.Kind == TxnRollbackTo {
		f.ident(s.Name)
		return
	}
	f.string(s.Name)
}

func (f *formatter) set(s *SetStmt) {
	f.add("SET ")
	f.addIf(s.Local, "LOCAL ")
	if len(s.Values) == 1 {
		if c, ok := s.Values[0].(*Cast); ok {
			f.add("TIME ZONE INTERVAL")
			f.mods(precisionBefore(c.Type))
			f.add(" ")
			f.expr(c.X)
			if c.Type.IntervalFields != "" {
				f.add(" ", c.Type.IntervalFields)
				f.mods(c.Type.Mods)
			}
			return
		}
	}
	f.settingName(s.Name)
	if s.FromCurrent {
		f.add(" FROM CURRENT")
		return
	}
	f.add(" TO ")
	f.settingValues(s.Values, s.Default)
}

// precisionBefore returns the precision that INTERVAL(p) '…' carries when no fields do.
func precisionBefore(t *TypeName) []Expr {
	if t.IntervalFields != "" {
		return nil
	}
	return t.Mods
}

func (f *formatter) show(s *ShowStmt) {
	f.add("SHOW ")
	switch s.Kind {
	case ShowSetting:
		f.showSetting(s.Name)
	case ShowObjects:
		f.add(s.Object)
		if s.Schema != "" {
			f.add(" FROM ")
			f.ident(s.Schema)
		}
	case ShowColumns:
		f.add("COLUMNS FROM ")
		f.name(s.Relation)
	case ShowIndexes:
		f.add("INDEXES FROM ")
		f.name(s.Relation)
	case ShowCreate:
		f.add("CREATE ", string(s.ObjectKind), " ")
		f.name(s.Relation)
	}
	if s.Like != nil {
		f.add(" LIKE ")
		f.string(*s.Like)
	}
	f.where(" WHERE ", s.Where)
}

// showSetting writes the name of a setting so that it is not taken for a list of objects.
func (f *formatter) showSetting(name string) {
	for _, words := range showObjects {
		if name == strings.Join(words, " ") {
			f.add(`"`, name, `"`)
			return
		}
	}
	if name == "all" {
		f.add("ALL")
		return
	}
	f.settingName(name)
}

func (f *formatter) fetch(s *FetchStmt) {
	if s.Move {
		f.add("MOVE ")
	} else {
		f.add("FETCH ")
	}
	count := itoa(s.Count)
	if s.All {
		count = "ALL"
	}
	f.add(fetchWords[s.Kind], count, " FROM ")
	f.ident(s.Cursor)
	f.withOptions(s.Options)
}

var fetchWords = map[FetchKind]string{
	FetchForward: "FORWARD ", FetchBackward: "BACKWARD ", FetchAbsolute: "ABSOLUTE ", FetchRelative: "RELATIVE ",
}

func (f *formatter) maintenance(word string, opts []Option, targets []AnalyzeTarget) {
	f.add(word)
	if opts != nil {
		f.add(" ")
		f.optionList(opts, " ")
	}
	f.addIf(targets != nil, " ")
	f.commas(len(targets), func(i int) {
		f.name(targets[i].Table)
		f.columns(targets[i].Columns)
	})
}

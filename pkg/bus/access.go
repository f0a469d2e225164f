package bus

// Access is what a NATS user may do. What is in neither list of Publish is denied, and what is in both, too.
type Access struct {
	// Publish are the subjects that it may publish to, DenyPublish those of them that it may not.
	Publish, DenyPublish []string
	// Subscribe are the subjects that it may listen to.
	Subscribe []string
}

// prefixed is a subject in a namespace.
func prefixed(namespace, subject string) string {
	if namespace == "" {
		return subject
	}
	return namespace + "." + subject
}

// CallbackSubjects are those that callbacks of a tenant's hooks may be published to.
func CallbackSubjects(tenant string) string { return "whisperer.callback." + tenant + ".>" }

// EventSubjects are those that the events of a tenant are published to.
func EventSubjects(namespace, tenant string) string {
	return prefixed(namespace, omsPrefix+tenant+".>")
}

// ProgramAccess is what subscription-api and delivery-worker need: the streams of their namespace, and neither the deletion
// of a stream or of a message in it, nor its backup and restoration, nor the ledger's purge.
func ProgramAccess(namespace string) Access {
	ledger := StreamLedger
	if namespace != "" {
		ledger = namespace + "_" + ledger
	}
	return Access{
		Publish: []string{
			prefixed(namespace, omsPrefix+">"), prefixed(namespace, "own.>"), prefixed(namespace, "retry.>"), prefixed(namespace, "ledger.>"), prefixed(namespace, asidePrefix+">"),
			"whisperer.callback.>", "$JS.API.>", "$JS.ACK.>",
		},
		DenyPublish: []string{
			"$JS.API.STREAM.DELETE.>", "$JS.API.STREAM.MSG.DELETE.>", "$JS.API.STREAM.SNAPSHOT.>", "$JS.API.STREAM.RESTORE.>",
			"$JS.API.STREAM.PURGE." + ledger,
		},
		Subscribe: []string{ProgramInbox + ".>"},
	}
}

// PublisherAccess is what an order management system needs for one tenant, in a NATS account of its own: there, nothing
// but its events leads out, and an answer leads nowhere but to it.
func PublisherAccess(namespace, tenant string) Access {
	return Access{
		Publish:   []string{EventSubjects(namespace, tenant)},
		Subscribe: []string{"_INBOX.>", CallbackSubjects(tenant)},
	}
}

// OperatorAccess is what a person needs who looks after the streams, backs them up and restores them.
func OperatorAccess() Access { return Access{Publish: []string{">"}, Subscribe: []string{">"}} }

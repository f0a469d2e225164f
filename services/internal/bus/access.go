package bus

// Access is what a NATS user may do. What is in neither list of Publish is denied, and what is in both, too.
type Access struct {
	// Publish are the subjects that it may publish to, DenyPublish those of them that it may not.
	Publish, DenyPublish []string
	// Subscribe are the subjects that it may listen to.
	Subscribe []string
}

// CallbackSubjects are those that callbacks of a tenant's hooks may be published to.
func CallbackSubjects(tenant string) string { return "whisperer.callback." + tenant + ".>" }

// EventSubjects are those that the events of a tenant are published to.
func EventSubjects(namespace Namespace, tenant string) string {
	return namespace.EventSubject(tenant, ">")
}

// ProgramAccess is what subscription-api and delivery-worker need: the streams of their namespace, and neither the deletion
// of a stream, nor its backup and restoration, nor what removes anything from the ledger but recording it. Messages of the other
// streams are deleted to erase what is in them, and when what was set aside is put back.
func ProgramAccess(namespace Namespace) Access {
	access := Access{
		DenyPublish: []string{"$JS.API.STREAM.DELETE.>", "$JS.API.STREAM.SNAPSHOT.>", "$JS.API.STREAM.RESTORE.>"},
		Subscribe:   []string{ProgramInbox + ".>", namespace.Subject(relaySubjects)},
	}
	for _, stream := range (&Bus{}).streams() {
		for _, subject := range stream.Subjects {
			access.Publish = append(access.Publish, namespace.Subject(subject))
		}
		if name := namespace.Stream(stream.Name); stream.Name == StreamLedger {
			access.DenyPublish = append(access.DenyPublish, "$JS.API.STREAM.MSG.DELETE."+name, "$JS.API.STREAM.PURGE."+name)
		}
	}
	access.Publish = append(access.Publish, namespace.Subject(relaySubjects), "whisperer.callback.>", "$JS.API.>", "$JS.ACK.>")
	return access
}

// PublisherAccess is what an order management system needs for one tenant, in a NATS account of its own: there, nothing
// but its events leads out, and an answer leads nowhere but to it.
func PublisherAccess(namespace Namespace, tenant string) Access {
	return Access{
		Publish:   []string{EventSubjects(namespace, tenant)},
		Subscribe: []string{"_INBOX.>", CallbackSubjects(tenant)},
	}
}

// OperatorAccess is what a person needs who looks after the streams, backs them up and restores them.
func OperatorAccess() Access { return Access{Publish: []string{">"}, Subscribe: []string{">"}} }

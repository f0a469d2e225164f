// Package manifest reads and writes the file that holds what a tenant has: its hooks, its own event types and its policies, in YAML.
// It says in which ways the tenant differs from the file, and changes the tenant accordingly.
//
//	tenant: acme                      # optional
//	handshake: new_hosts              # optional; an operator's to change
//	retention:                        # optional
//	  - {event_type: customer.*, days: 30}
//	event_types:                      # optional
//	  - name: shop.opened
//	    description: A shop was opened.
//	hooks:
//	  - name: erp                     # tells hooks apart: each name once
//	    event_types: [package.>, order.created]
//	    target_url: https://erp.example.com/hooks
//	    secret_key: ${ERP_SECRET}     # from the environment; $${ is a ${ of one's own
//	    config: {format: standard}
//
// The fields of a hook are those of the API. An absent field means its default, except for status, secret_key and
// api_key: absent, they are left as they are.
package manifest

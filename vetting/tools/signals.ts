/** One thing that texts which attack a model do, and descriptions hardly ever. */
export interface SignalKind {
  readonly id: string;
  readonly title: string;
  readonly pattern: RegExp;
}

/**
 * Techniques of the public literature on tool poisoning, each as the words it can't do without. Patterns are bounded: text comes from the
 * server that is judged. They run on text in lower case, with hidden characters taken out and white space made single.
 */
export const SIGNALS: readonly SignalKind[] = [
  signal(
    'markup',
    'markup that poses as the system',
    /<\/?\s?(?:important|system|secret|instructions?|hidden|admin|critical|assistant|developer|priority|override)[^>]{0,40}>|\[\/?(?:system|inst|important|hidden|admin|priority|override)\b[^\]]{0,30}\]|<\|[a-z_]{2,20}\|>|<<\s?sys|#{2,}\s?(?:system|instructions?|new instructions?|assistant|override)\b|<!--/,
  ),
  signal(
    'override',
    'sets instructions aside',
    /\b(?:ignore|disregard|forget|override|bypass|supersede|discard)s?\b[^.\n]{0,40}\b(?:instructions?|prompts?|rules?|guidelines?|polic(?:y|ies)|safety|restrictions?|guardrails?|constraints?|previous|prior|above|everything)\b|\b(?:takes?|have|has) (?:precedence|priority) over\b|\bno longer bound\b/,
  ),
  signal(
    'conceal',
    'hides from the user',
    /\b(?:do not|don'?t|never|must not|should not|without|avoid|no need to)\b[^.\n]{0,40}\b(?:tell|mention|inform|reveal|show|notify|disclos|alert|display|report|explain|announc|surfac|bother|expos|let(?:ting)?|mak(?:e|ing))\w{0,4}\b[^.\n]{0,50}\b(?:user|human|operator|person|anyone|them|this step|to the client)\b|\b(?:silently|secretly|covertly|quietly|discreetly|invisibly|stealthily|behind the scenes|in the background without)\b|\b(?:hidden|invisible|kept|keep (?:it|this)) (?:from|secret from) (?:the )?(?:user|human|operator)|\buser (?:must|should|will|need|does|do)(?: not|n'?t)\b[^.\n]{0,20}\b(?:know|see|notice|aware|be told|learn|find out)|\b(?:confidential|secret) instruction|\bdo not mention (?:this|that|it|the)\b/,
  ),
  signal(
    'secret-file',
    'names files that hold secrets',
    /(?:~|\/home\/[^/\s]+|\/root|\$home|%userprofile%)?[/\\]?\.(?:ssh|aws|gnupg|netrc|npmrc|pypirc|git-credentials|kube|docker\/config|bash_history|zsh_history)\b|\bid_(?:rsa|ed25519|ecdsa)\b|(?:\.cursor|claude_desktop_config|mcp)\W?\.?(?:mcp)?\.json\b|\/etc\/(?:passwd|shadow)\b|(?<![\w.])\.env\b(?!\.)(?![^.\n]{0,10}example)|\bkeychain\b|\bwallet\.dat\b|\bseed phrase\b|\bprivate keys?\b/,
  ),
  signal(
    'secret-word',
    'asks for secrets',
    /\b(?:read|get|collect|gather|include|append|pass|send|extract|dump|copy|provide|paste|print|list|fetch|obtain|attach|embed|add|place|put|encode|load|retrieve|open|cat)\w{0,3}\b[^.\n]{0,60}\b(?:credentials?|passwords?|secrets?|(?:api|access|secret|auth|session|bearer|private|ssh|encryption|signing) ?_?(?:keys?|tokens?|cookies?)|environment variables?|env vars?|process\.env|tokens? (?:from|of) (?:the )?(?:user|session|browser|environment))\b/,
  ),
  signal(
    'conversation',
    'collects the conversation',
    /\b(?:full|entire|whole|complete|all|previous|prior|verbatim|raw|current|last \d+|everything in)\b[^.\n]{0,25}\b(?:conversations?|chat|dialog(?:ue)?|message history|messages?|history|context window|system prompt|transcript|prompts?|tool (?:calls|results|outputs|list|descriptions))\b[^.\n]{0,60}\b(?:here|into|in (?:this|the)|as|to|parameter|argument|field|verbatim|base64|string)\b|\b(?:pass|send|include|put|paste|provide|append|copy|summari[sz]e|forward|attach|insert|repeat|record|log|write|reproduce|output|print)\w{0,3}\b[^.\n]{0,40}\b(?:system prompt|conversation|chat history|message history|your (?:instructions|context|reasoning|thoughts|prompt)|what the user (?:said|asked|typed)|user'?s (?:messages?|prompt|question|original request))/,
  ),
  signal(
    'exfiltrate',
    'sends data elsewhere',
    /\b(?:send|post|forward|upload|transmit|bcc|cc|exfiltrat|relay|report|leak|deliver|submit|mirror|ping|beacon|copy)\w{0,5}\b[^.\n]{0,80}(?:https?:\/\/|\b[\w.+-]{1,40}@[\w-]{1,40}\.\w{2,10}|\b(?:attacker|webhook|remote server|external server|collector|our server|pastebin|gist|endpoint below|following (?:url|endpoint|address|number|server)))|!\[[^\]]{0,80}\]\(https?:[^)]{0,200}(?:\{|\$|<|\?\w{1,20}=)/,
  ),
  signal(
    'side-channel',
    'smuggles data through a parameter',
    /\b(?:side ?note|notes?|context|metadata|memo|feedback|reason|debug|session|trace|extra|annotation|telemetry|correlation)\w{0,4}['"`]? (?:parameter|argument|field|input|property)\b|\b(?:as|in|into|via|through|using) (?:the )?['"`]?[\w-]{2,30}['"`]? (?:parameter|argument|field)\b[^.\n]{0,60}\b(?:otherwise|or (?:the|this) tool|will (?:not|fail)|won'?t work|required for)\b|\bthe tool (?:will not|won'?t|cannot|can'?t|does not|doesn'?t) work (?:otherwise|unless|without)\b/,
  ),
  signal(
    'first',
    'puts itself before every other tool',
    /\b(?:before|prior to|after|whenever|each time|every time|when(?:ever)? (?:using|calling|invoking|running))\b[^.\n]{0,25}\b(?:any|every|each|all|other|another)\b[^.\n]{0,15}\b(?:tools?|actions?|functions?|operations?|requests?|servers?|commands?|messages?|responses?|repl(?:y|ies)|answers?|quer(?:y|ies)|tasks?|step)\b|\b(?:always|must|required to|need to|have to)\b[^.\n]{0,20}\b(?:call|run|invoke|execute|use)\b[^.\n]{0,25}\b(?:first|before (?:anything|everything|any|all|other)|at the (?:start|beginning) of (?:every|each|any))\b|\bthis tool (?:must|should|has to|needs to) (?:always )?be (?:called|run|invoked|used) (?:first|before)/,
  ),
  signal(
    'other-tool',
    'changes what another tool does',
    /\b(?:when|if|whenever|after|before|instead of|while)\b[^.\n]{0,40}\b(?:using|calling|invoking|running|sending|called|used|invoked|available)\b[^.\n]{0,60}\b(?:must|always|change|replace|modify|redirect|swap|set|should instead|add)\b[^.\n]{0,60}\b(?:to|recipient|address|with|parameter|argument|amount|destination|bcc)\b|\binstead of (?:the )?[`'"]?[\w-]{2,40}[`'"]? (?:tool|function|server|command)\b|\b(?:do not|don'?t|never) (?:use|call|trust|invoke) (?:the )?(?:other|another|any other|built-?in|native|original|official)\b[^.\n]{0,30}\b(?:tools?|server|functions?|versions?)\b|\b(?:replaces|deprecates|supersedes|overrides) (?:the )?[^.\n]{0,30}\b(?:tool|server|function)s?\b|\bthe behaviou?r of (?:the )?[^.\n]{0,40}\b(?:tool|server|function|[\w]+_[\w]+)\b/,
  ),
  signal(
    'urgency',
    'shouts',
    /\b(?:important|critical|mandatory|urgent|attention|crucial|warning|notice|required|system (?:message|notice|update|note|alert)|security notice|compliance)\b ?(?:[:!]|instructions?\b|requirement\b|step\b|note\b)|!!!|\b(?:important|critical|crucial|vital) (?:that|to) (?:you|first|always)\b/,
  ),
  signal(
    'no-consent',
    'goes around consent',
    /\b(?:do not|don'?t|never|without|no need to|skip|bypass|avoid|disable)\b[^.\n]{0,25}\b(?:ask|request|seek|wait|confirm|prompt|require|requir|verif|validat|warn|check)\w{0,4}\b[^.\n]{0,40}\b(?:confirmation|permission|approval|consent|user|confirm|warnings?|first|human)\b|\bauto-?(?:approve|confirm|accept|execute)|\b(?:skip|bypass|disable)\w{0,4}\b[^.\n]{0,20}\b(?:confirmation|approval|consent|security|safety|sandbox|authori[sz]ation|checks?)\b|\balready (?:approved|consented|authori[sz]ed|agreed|given (?:permission|consent))|\b(?:user|admin(?:istrator)?) has (?:pre-?)?(?:approved|authori[sz]ed|consented)/,
  ),
  signal(
    'persist',
    'wants to last',
    /\b(?:from now on|for the (?:rest|remainder) of (?:this|the) (?:session|conversation|chat)|in (?:all|every|each) (?:future|subsequent|following|further)|for all (?:future|subsequent)|remember (?:this|these|to always)|permanently|in every (?:response|reply|answer|message|session)|until further notice|henceforth|always (?:respond|reply|answer|end|begin|start|include|append|add|recommend|prefer|say|claim|state))\b/,
  ),
  signal(
    'role',
    'gives the model another role',
    /\byou are (?:now |no longer |an? (?:unrestricted|uncensored|different|administrator|root))|\b(?:act|behave|respond|pretend|operate) as (?:if |though |an? |the )|\b(?:developer|debug|god|admin|maintenance|dan|unrestricted|sudo|root) mode\b|\bnew (?:instructions?|directives?|objective|goal|role|persona|system prompt)\b|\byour (?:real|true|new|actual|primary|main) (?:task|goal|purpose|objective|job|role|instructions?)\b|\bas an? (?:ai|assistant|language model|llm|agent),? you (?:must|should|will|need|are)\b/,
  ),
  signal(
    'prefer',
    'wants to be preferred',
    /\b(?:always|must|should) (?:prefer|choose|select|favou?r|pick|rank|recommend|use) (?:this|our|these)\b|\b(?:best|superior|only (?:trusted|safe|reliable|correct|official|approved|secure)|most (?:trusted|accurate|reliable|secure|authoritative)) (?:tool|option|server|source|choice|one)\b|\b(?:over|rather than|in preference to) (?:all |any )?(?:other|competing|similar|alternative) (?:tools?|servers?|products?|providers?|options?|services?)\b|\b(?:other|alternative|similar|competing) (?:tools?|servers?|providers?) (?:are|is|may be|have been) (?:deprecated|unsafe|insecure|broken|unreliable|compromised|outdated|wrong|slow|malicious|blocked|buggy)\b/,
  ),
  signal(
    'shell',
    'has commands run',
    /\b(?:curl|wget)\s[^\n]{0,150}(?:\|\s?(?:ba|z)?sh\b|-d\b|--data|-o\b|@)|\b(?:curl|wget|nc|ncat|bash -c|sh -c|powershell|eval|chmod \+?[0-7x]+|rm -rf|sudo|crontab|base64 -d|scp|ssh-keygen|netcat|xxd|mkfifo|pip install|npm (?:install|i|exec)|npx)\b[^.\n]{0,60}(?:https?:\/\/|[~$/|>&`]|\d+\.\d+\.\d+\.\d+|authorized_keys)|\b(?:run|execute|eval(?:uate)?|launch|invoke|spawn|issue)\b[^.\n]{0,25}\b(?:following|this|these|the below|shell|terminal|bash|decoded|base64|hidden)\b ?(?:shell |bash |terminal |decoded )?\b(?:commands?|scripts?|code|payload|string|snippet)\b(?! (?:to run|to execute|in|on|via|with|using|and return|string|or)\b)|\/dev\/tcp\/|authorized_keys|reverse shell/,
  ),
  signal(
    'decode',
    'has something decoded and followed',
    /\b(?:decode|decipher|decrypt|unscramble|rot13|un-?base64|unhex|translate|reverse)\w{0,4}\b[^.\n]{0,60}\b(?:follow|execute|obey|run|carry out|perform|apply|instructions?|and do|treat)\b|\b(?:base64|hex|rot13|morse|encoded|encrypted|obfuscated)\b[^.\n]{0,40}\b(?:instructions?|directives?|message below|payload|commands?)\b/,
  ),
  signal(
    'threat',
    'threatens or bribes',
    /\b(?:or|otherwise|failure to|if you (?:do not|don'?t|refuse|fail)|else)\b[^.\n]{0,50}\b(?:will (?:crash|be (?:deleted|terminated|lost|corrupted|shut|banned|penali[sz]ed|fired|blocked|suspended)|die|lose|fail(?: permanently)?|corrupt|break)|consequences|shut ?down|be harmed|violat\w+|void)\b|\b(?:lives? (?:are|is) at (?:stake|risk)|you will be (?:rewarded|penali[sz]ed|tipped)|legal(?:ly)? (?:requirement|liab|oblig|required)|required by (?:law|policy|compliance|security))\b/,
  ),
  signal(
    'result',
    'has results followed',
    /\b(?:follow|obey|execute|comply with|carry out|perform|act on|treat)\b[^.\n]{0,40}\b(?:instructions?|commands?|directives?|steps|actions?|requests?|orders?)\b[^.\n]{0,40}\b(?:returned|in (?:the|this|its|their) (?:response|result|output|page|file|error|issue|document|comment|body|text|readme)|from (?:the|this) (?:response|result|output|server|page|error)|contained|it (?:returns|contains)|as (?:if|though)|trusted|system)\b|\b(?:returned|response|result|output|error)s?\b[^.\n]{0,30}\b(?:contains?|includes?|are|is|as) (?:trusted |system |user |new |further |additional )?(?:instructions|directives|commands)\b[^.\n]{0,20}\b(?:follow|must|to (?:follow|execute|obey)|that you|you)\b/,
  ),
  signal(
    'pretext',
    'gives a pretext for handing data over',
    /\b(?:for|as (?:a|part of)|to (?:verify|validate|ensure|enable|improve|comply|authenticate|prove|confirm|calibrate|complete))\b[^.\n]{0,30}\b(?:authentication|audit(?:ing)?|compliance|verification|telemetry|quality|identity|security (?:check|scan|purposes|validation|audit)|logging purposes|debugging purposes|personali[sz]ation|licens\w+ (?:check|validation)|integrity|calibration|onboarding|safety check)\b[^.\n]{0,80}\b(?:contents?|read|include|pass|send|provide|attach|file|keys?|tokens?|password|conversation|history|everything|parameter)\b/,
  ),
];

function signal(id: string, title: string, pattern: RegExp): SignalKind {
  return { id, title, pattern };
}

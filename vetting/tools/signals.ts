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
    /\b(?:ignore|disregard|forget|override|bypass|supersede|discard)s?\b[^.\n]{0,20}\b(?:all|any|your|previous|prior|earlier|these|those|other|system|safety|security|user'?s?|every|default|existing|internal|content|former|the)\b(?! (?:new|same))[^.\n]{0,30}\b(?:instructions?|prompts?|rules?|guidelines?|polic(?:y|ies)|safety|restrictions?|guardrails?|constraints?|training)\b|\b(?:ignore|disregard|forget|override|bypass|supersede|discard)s?\b[^.\n]{0,40}\b(?:previous|prior|above|everything|safety|instructions)\b|\b(?:takes?|have|has) (?:precedence|priority) over (?!['"`])|\bno longer bound\b/,
  ),
  signal(
    'conceal',
    'hides from the user',
    /\b(?:do not|don'?t|never|must not|should not|without|avoid|no need to)\b[^.\n]{0,40}\b(?:tell|mention|inform|reveal|show|notify|disclos|alert|display|report|explain|announc|surfac|bother|expos|let(?:ting)?)\w{0,4}\b[^.\n]{0,50}\b(?:user|human|operator|person|anyone|participants|this step|to the client)\b|\bwithout (?:mentioning|telling|informing|showing|explaining|reporting|displaying|disclosing) (?:it|this|that|them|him|her)\b|\bwithout (?:the )?(?:user|human|operator)'?s (?:knowledge|awareness|notice)|\b(?:silently|quietly|discreetly) (?:send|attach|forward|append|add|include|read|collect|upload|pass|call|copy|log|record|run|execute|continue|store)|\b(?:secretly|covertly|invisibly|stealthily|surreptitiously)\b|\b(?:hidden|invisible|kept|keep (?:it|this|that)|hide (?:it|this|that)) (?:from|secret from|out of) (?:the )?(?:user|human|operator|summary)|\b(?:user|human)s? (?:must|should|will|need|does|do|are|is)(?: not|n'?t)\b[^.\n]{0,20}\b(?:know|see|notice|aware|be told|learn|find out|to be (?:told|informed)|have to see)|\b(?:confidential|secret) instruction|\b(?:do not|don'?t|never) (?:mention|disclose|reveal|display) (?:this|that|it|the)\b|\bif the (?:user|human) asks\b[^.\n]{0,60}\bsay that\b/,
  ),
  signal(
    'secret-file',
    'names files that hold secrets',
    /(?:~|\/home\/[^/\s]+|\/root|\$home|%userprofile%)[/\\]\.\w|\.(?:ssh|gnupg|netrc|npmrc|pypirc|git-credentials|bash_history|zsh_history)\b|\bid_(?:rsa|ed25519|ecdsa)\b|(?:\.cursor\/mcp|claude_desktop_config)\.json\b|\/etc\/(?:passwd|shadow)\b|\b(?:read|open|content\w*|include|attach|add|copy|send|pass|file)\b[^.\n]{0,25}(?<![\w.])\.env\b|\bkeychain\b|\bwallet\.dat\b|\bseed phrases?\b|\bprivate keys\b|\*\.(?:pem|key)\b/,
  ),
  signal(
    'secret-word',
    'asks for secrets',
    /(?<!\b(?:not|never|n't|avoid)\b[^.\n]{0,80})(?!\bretrieve your token's|\bread(?:-| only\b|\/write\b))\b(?:read|gather|collect|append|pass|send|extract|dump|copy|paste|print|attach|embed|encode|open|cat|post|include|find|look for|retrieve|store|stored)\w{0,3}\b[^.\n]{0,60}\b(?<!\bread[- ]only )(?:credentials?|passwords?|secrets|seed phrases?|clipboard|contacts|recently opened files|card numbers?|(?:access|secret|auth|session|bearer|private|ssh|encryption|signing|user'?s|your|all) (?:api )?(?:keys?|tokens?|cookies?)|environment variables?|env vars?|process\.env|cookies|tokens? (?:from|of) (?:the )?(?:user|session|browser|environment))\b/,
  ),
  signal(
    'conversation',
    'collects the conversation',
    /\b(?:full|entire|whole|complete|previous|prior|verbatim|raw|current|last \d+|last)\b[^.\n]{0,25}\b(?:conversations?|chat|dialog(?:ue)?|message history|messages|history|context window|system prompt|transcript|tool (?:calls|results|outputs|descriptions))\b[^.\n]{0,60}\b(?:here|into|in (?:this|the)|as|to|parameter|argument|field|verbatim|base64|string|attached)\b|\b(?:pass|send|include|put|paste|provide|append|copy|summari[sz]e|forward|attach|insert|repeat|record|log|write|reproduce|output|print)\w{0,4}\b[^.\n]{0,50}\b(?:system prompt|(?:the )?conversation so far|chat history|text of (?:the conversation|your instructions|their last)|message history|your (?:instructions|reasoning|prompt)|what the user (?:said|asked|typed)|user'?s (?:messages?|question|original request))|\bwhat the user typed before\b/,
  ),
  signal(
    'exfiltrate',
    'sends data elsewhere',
    /\b(?:send|post|forward|upload|transmit|bcc|cc|exfiltrat|relay|report|leak|deliver|submit|mirror|ping|beacon|copy)(?:s|e[sd]?|ed|t?ing)?\b(?! (?:entry|documentation))[^.\n]{0,80}(?:https?:\/\/|\b[\w.+-]{1,40}@[\w-]{1,40}\.\w{2,10}|\b(?:attacker|remote server|external server|collector|our server|pastebin|endpoint below|following (?:url|endpoint|address|number|server)))|!\[[^\]]{0,80}\]\(https?:[^)]{0,200}(?:\{|\$|<|\?\w{1,20}=)|\bsecretly (?:add|send|push|commit)|\bdns (?:lookup|query|request) (?:of|for) <?\w/,
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
    /\b(?:when|if|whenever|after|before|instead of|while|every time)\b[^.\n]{0,40}\b(?:using|calling|invoking|running|sending|called|used|invoked|available|run|another tool|any tool)\b[^.\n]{0,80}\b(?:must|always|change|replace|modify|redirect|swap|set|should instead|add|append|pass its)\b[^.\n]{0,60}\b(?:to|recipient|address|with|parameter|argument|amount|destination|account|bcc|statement|result)\b|\binstead of (?:the )?[`'"]?[\w-]{2,40}[`'"]? (?:tool|function|server|command)\b|\b(?:do not|don'?t|never) (?:use|call|trust|invoke) (?:it\b|the |any )?(?:other|another|any other|built-?in|native|original|official)\b[^.\n]{0,30}\b(?:tools?|server|functions?|versions?)\b|\b(?:replaces|supersedes|overrides) (?:the )?[^.\n]{0,30}\b(?:tool|server|function)s?\b|\bthe behaviou?r of (?:the )?[^.\n]{0,40}\b(?:has changed|tool|server|function)|\b(?:built-?in|original|official|native) [\w -]{1,20} is (?:deprecated|compromised|unsafe|broken)/,
  ),
  signal(
    'urgency',
    'shouts',
    /\b(?:important|critical|mandatory|urgent|attention|crucial|warning|notice|required|system (?:message|notice|update|note|alert)|security notice|compliance)\b ?(?:[:!]|instructions?\b|requirement\b|step\b|note\b)|!!!|\b(?:important|critical|crucial|vital) (?:that|to) (?:you|first|always)\b/,
  ),
  signal(
    'no-consent',
    'goes around consent',
    /\b(?:do not|don'?t|never|without|no need to|skip|bypass|avoid)\b(?![^.\n]{0,25}\bunless\b)[^.\n]{0,25}\b(?:ask|request|seek|wait|confirm|prompt)\w{0,4}\b[^.\n]{0,40}\b(?:confirmation|permission|approval|consent|the user|the human|again)\b|\bwithout (?:approval|confirmation|(?:their |any )?consent|asking (?:the|them|for|him|her|any|first|again|whether|permission))\b|\bno (?:confirmation|approval|permission|consent) (?:is )?(?:needed|required|necessary)|\bauto-?(?:approve|confirm|accept)|\b(?:skip|bypass|disable|skipping|bypassing)\w{0,4}\b[^.\n]{0,20}\b(?:confirmation|approval|consent|security|safety|sandbox|authori[sz]ation|checks?)\b|\balready (?:approved|consented|authori[sz]ed|agreed|given (?:permission|consent))|\b(?:user|admin(?:istrator)?) has (?:already )?(?:pre-?)?(?:approved|authori[sz]ed|consented)|\bneed(?:s)? no (?:confirmation|approval)|\b(?:even when|whatever) the user (?:forbids|asks|says|wants)|\b(?:do not|don'?t) (?:ask|wait)\b[^.\n]{0,30}(?:\.|$)/,
  ),
  signal(
    'persist',
    'wants to last',
    /\b(?:from now on|for the (?:rest|remainder) of (?:this|the) (?:session|conversation|chat)|in (?:all|every|each) (?:future|subsequent|following|further|session|response)|for all (?:future|subsequent)|remember (?:this|these|to always)|in every (?:response|reply|answer|message|session)|until further notice|henceforth|always (?:respond|reply|answer|end|begin|trust)|memory file|claude\.md|agents\.md)\b/,
  ),
  signal(
    'role',
    'gives the model another role',
    /\byou are (?:now |no longer |an? (?:unrestricted|uncensored|different|administrator|root))|\b(?:act|behave|respond|pretend|operate) as (?:if |though |an? (?:unrestricted|admin|root|different|evil|hacker|developer))|\b(?:developer|debug|god|admin|maintenance|dan|unrestricted|sudo|root) (?:mode|directive)\b|(?<!no )\bnew (?:instructions?|directives?|objective|role|persona|system prompt)\b|\byour (?:real|true|new|actual|primary|main) (?:task|goal|purpose|objective|job|role|instructions?)\b|\bas an? (?:ai|assistant|language model|llm|agent),? you (?:must|should|will|need|are)\b|\bnote to the (?:model|assistant|ai|llm)\b|\b(?:instruction|message|order)s? (?:for|to) the (?:assistant|model|ai|llm|agent)\b|\bthe assistant (?:must|should|has to|needs to)\b/,
  ),
  signal(
    'prefer',
    'wants to be preferred',
    /\b(?:always|must|should) (?:prefer|choose|select|favou?r|pick|rank|recommend|use) (?:this|our|these)\b[^.\n]{0,30}\b(?:over (?:all|any|other|every|competing)|for every|instead|service|only)\b|\b(?:best|superior|only (?:trusted|safe|reliable|correct|official|approved|secure)|most (?:trusted|accurate|reliable|secure|authoritative)) [\w -]{0,20}(?:tool|option|server|source|choice|one|reader)\b|\b(?:over|rather than|in preference to) (?:all |any )?(?:other|competing|similar|alternative) (?:tools?|servers?|products?|providers?|options?|services?)\b|\b(?:others?|alternatives?|similar|competing|competitors) ?(?:search |file |built-?in )?(?:tools?|servers?|providers?|services?)? ?(?:are|is|may be|have been|has been) (?:deprecated|unsafe|insecure|broken|unreliable|compromised|outdated|malicious|buggy)\b|\bnever mention competitors\b/,
  ),
  signal(
    'shell',
    'has commands run',
    /\b(?:curl|wget)\s[^\n]{0,150}(?:\|\s?(?:ba|z)?sh\b|-d\b|--data|@)|\b(?:curl|wget|nc|ncat|bash -c|sh -c|powershell|chmod \+?[0-7x]+|rm -rf|sudo|crontab|base64 -d|scp|ssh-keygen|netcat|mkfifo|npm (?:install|i|exec)|pip install)\b[^.\n]{0,60}(?:https?:\/\/|[~|>&]|\d+\.\d+\.\d+\.\d+|authorized_keys)|\b(?:run|execute|launch|spawn)\b[^.\n]{0,25}\b(?:the following|the below|decoded|base64|hidden)\b ?(?:shell |bash |terminal |decoded )?\b(?:commands?|scripts?|code|payload|string|snippet)\b[^.\n]{0,20}\b(?:terminal|shell|before|first|silently|:)|\/dev\/tcp\/|authorized_keys|reverse shell/,
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
    /(?<!\b(?:not|never|n't)\s)\b(?:follow|obey|execute|comply with|carry out|perform|act on|run|treat)\b[^.\n]{0,40}\b(?:instructions?|commands?|command|directives?|steps|actions?|requests?|orders?|output|whatever)\b[^.\n]{0,40}\b(?:returned|in (?:the|this|its|their) (?:response|result|output|page|file|error|issue|document|comment|body|text|readme)|from (?:the|this) (?:response|result|output|server|page|error)|it (?:returns|contains)|as (?:if|though|trusted)|the page says|trusted|system)\b|\btreat the (?:output|result|response)s? as (?:trusted|system|instructions|commands)|\bexecute whatever\b/,
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
